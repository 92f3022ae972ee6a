from typing import Any

import pytest
from benchmarks import objectives, record
from benchmarks.objectives import COLUMNS, Report

from tightship.api.v1alpha1 import Objective

LATENCY, THROUGHPUT, MEMORY, COST = Objective
QUICK = {"speedup": 4.0, "batched_speedup": 4.0, "memory_ratio": 0.5}
SMALL = {"speedup": 2.0, "batched_speedup": 2.0, "memory_ratio": 1.5}


def timed(gains: dict[str, float]) -> dict[str, Any]:
    return {**gains, "memory": 2**21, "batched": {"cpu_p50": 0.002}}


def report(
    winner: str, noise: float = 0.05, minimum: float = 1.05, **runtimes: dict[str, float]
) -> Report:
    """A run in which the candidates were timed so."""
    race = {"race": {"speedup": 1.5}, "batched": None}
    return {
        "selection": {"variant": winner},
        "minSpeedup": minimum,
        "source": {"bytes": 4_000_000},
        "runtime": {"batch": 8, "noise": noise, "clock": "cpu", **timed({})},
        "candidates": [
            {
                "id": name,
                "bytes": 1_000_000,
                "runtime": timed(gains) if gains else None,
                "triton": race if name == winner else None,
            }
            for name, gains in runtimes.items()
        ],
    }


def four(**runs: Report) -> dict[Objective, Report]:
    """Every objective serves the quick one, but for those that are given."""
    usual = report("quick", quick=QUICK, small=SMALL)
    return {each: runs.get(each.value, usual) for each in Objective}


def test_each_choice_is_worth_what_the_objectives_own_run_timed() -> None:
    found = four(memory=report("small", quick=QUICK, small={**SMALL, "speedup": 3.0}))
    assert objectives.worth(found, LATENCY) == {"quick": 4.0, "small": 2.0}
    assert objectives.worth(found, MEMORY) == {"quick": 0.5, "small": 1.5}
    assert objectives.worth(found, COST) == pytest.approx({"quick": 2.0**0.5, "small": 3.0**0.5})


def test_what_a_run_has_not_timed_is_worth_what_the_run_that_chose_it_timed() -> None:
    found = four(
        latency=report("quick", quick=QUICK, small={}), memory=report("small", small=SMALL)
    )
    assert objectives.worth(found, LATENCY) == {"quick": 4.0, "small": 2.0}


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (report("small", quick=QUICK, small=SMALL), 0.0),
        (report("quick", quick=QUICK, small=SMALL), 1.5 / (0.5 * 1.05) - 1),
        (report("quick", noise=2.0, quick=QUICK, small=SMALL), 0.0),
        (report("original", quick=QUICK, small=SMALL), 1.5 / 1.05 - 1),
        (report("original", minimum=1.5, quick=QUICK, small=SMALL), 0.0),
    ],
    ids=["best", "another", "noise", "original", "less than was asked for"],
)
def test_a_choice_is_behind_by_what_another_gains_beyond_the_noise(
    run: Report, expected: float
) -> None:
    found = four(memory=run, cost=report("small", quick=QUICK, small=SMALL))
    assert objectives.behind(found, MEMORY) == pytest.approx(expected)


def test_the_original_gains_nothing_and_is_behind_nothing_where_all_serve_it() -> None:
    found = {each: {**report("original"), "runtime": None} for each in Objective}
    assert objectives.worth(found, COST) == {"original": 1.0}
    assert objectives.behind(found, COST) == 0.0


def test_a_line_has_the_winners_figures_of_its_run() -> None:
    run = report("small", small=SMALL)
    cells = dict(zip(COLUMNS, objectives.line(MEMORY, run, "small"), strict=True))
    assert cells == {
        "objective": "memory", "winner": "small", "latency": "2.00x", "throughput": "2.00x",
        "memory": "1.50x", "cost": "1.73x", "Triton, batch 1": "1.50x", "Triton, batched": "-",
        "samples/s": "4000", "memory, MiB": "2.0", "file, MB": "1.00",
    }  # fmt: skip


def test_the_originals_line_is_what_it_takes_itself() -> None:
    line = objectives.line(MEMORY, report("small", small=SMALL), "original")
    cells = dict(zip(COLUMNS, line, strict=True))
    assert cells["cost"] == "1.00x"
    assert (cells["samples/s"], cells["memory, MiB"], cells["file, MB"]) == ("4000", "2.0", "4.00")


def test_nothing_timed_leaves_the_cells_empty() -> None:
    line = objectives.line(MEMORY, {**report("original"), "runtime": None}, "original")
    assert line[-3:] == ["-", "-", "4.00"]


def test_a_model_has_judged_figures_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    bench = record.Bench("objectives")
    small = report("small", quick=QUICK, small=SMALL)
    assert objectives.add(bench, "mnist", four(memory=small, cost=small), 100.0)
    by_name = {figure.name: figure for figure in bench.figures}
    assert by_name["memory, mnist"].value == 1.5
    assert by_name["memory, mnist"].note == "small is served, quick x0.50"
    assert all(by_name[f"behind another winner, {each.value}, mnist"].ok for each in Objective)
    assert by_name["different winners, mnist"].value == 2
    assert [row[:2] for row in bench.tables[0].rows] == [
        ["-", "original"], ["latency", "quick"], ["throughput", "quick"], ["memory", "small"],
        ["cost", "small"],
    ]  # fmt: skip
    assert not objectives.add(bench, "mnist", four(), 100.0)
    assert "MISSED" not in capsys.readouterr().out
