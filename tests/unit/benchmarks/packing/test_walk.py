from dataclasses import replace

from benchmarks.packing import walk
from benchmarks.packing.walk import Look

LOOK = Look(
    server="a", models=2, predicted=120, measured=100, working_set=50, peak=80, limit=100, kills=0,
    pid=7,
)  # fmt: skip


def test_a_walk_is_the_same_on_every_run_and_every_step_changes_something() -> None:
    taken = list(walk.steps(["a", "b", "c"], 3, 100, seed=1))
    assert taken == list(walk.steps(["a", "b", "c"], 3, 100, seed=1))
    assert taken != list(walk.steps(["a", "b", "c"], 3, 100, seed=2))
    copies = dict.fromkeys("abc", 1)
    for model, wanted in taken:
        assert wanted in {1, 2, 3} - {copies[model]}
        copies[model] = wanted


def test_two_copies_at_most_go_up_and_down() -> None:
    assert [copies for _, copies in walk.steps(["a"], 2, 4, seed=1)] == [2, 1, 2, 1]


def test_an_error_has_a_sign() -> None:
    assert round(LOOK.error, 6) == 0.2
    assert round(replace(LOOK, predicted=50).error, 6) == -0.5


def test_a_percentile_was_observed() -> None:
    assert walk.percentile([5.0, 1.0, 3.0, 9.0], 50) == 3.0
    assert walk.percentile([float(number) for number in range(1, 101)], 95) == 95.0


def test_another_process_of_a_server_is_a_restart_and_its_kills_count_anew() -> None:
    looks = [
        LOOK,
        replace(LOOK, server="b", pid=9),
        replace(LOOK, kills=2),
        replace(LOOK, kills=2),
        replace(LOOK, pid=8, kills=1),
    ]
    assert walk.restarts(looks) == 1
    assert walk.kills(looks) == 3


def test_loads_are_told_by_model() -> None:
    loads = [("b", 10.0, 8.0), ("a", 1.0, 1.0), ("b", 10.0, 12.0), ("b", 10.0, 9.0)]
    assert walk.by_model(loads) == {"a": (1.0, 1.0, 1), "b": (10.0, 9.0, 3)}
