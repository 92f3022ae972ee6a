"""What is known of a model's cost: from a profile, from a status, from nobody."""

import json

import pytest
from tests.support.cache import REPOSITORY

from tightship.whatif import measured, resources
from tightship.whatif.errors import QuestionError
from tightship.whatif.resources import Model

PROFILES = REPOSITORY / "examples" / "plan" / "profiles"
BERT = (PROFILES / "bert-large.json").read_text()
SPEC = resources.read((PROFILES.parent / "models.yaml").read_text(), "x").models["bert-large"].spec


def test_a_profile_is_a_curve() -> None:
    cost = measured.from_json(BERT, "bert.json")
    assert cost.profile.batches == (1, 8, 16)
    assert cost.profile.latency(1) == pytest.approx(3.6e-3)
    assert cost.profile.latency(8) == pytest.approx(15.3e-3)
    assert cost.profile.memory == 2 * 2**30
    assert cost.network == pytest.approx(0.2e-3)
    assert (cost.origin, cost.measured) == ("bert.json", True)


def test_without_batching_there_is_one_batch() -> None:
    cost = measured.unbatched(measured.from_json(BERT, "bert.json"))
    assert cost.profile.max_batch == 1


ARTIFACT = {
    "key": "k",
    "digest": "d",
    "memory": 70_000_000,
    "maxBatch": 16,
    "loadTime": "1.8s",
    "busyTime": "1.91ms",
}


def known(**status: object) -> Model:
    return Model(name="m", spec=SPEC, status=status)


def test_a_status_that_tells_batch_1_is_one_point() -> None:
    cost = measured.from_status(known(artifact=ARTIFACT))
    assert cost is not None
    assert (cost.profile.batches, cost.profile.max_batch) == ((1,), 1)
    assert cost.profile.latency(1) == pytest.approx(1.91e-3)
    assert (cost.profile.memory, cost.profile.load_seconds) == (70_000_000, 1.8)


def test_a_status_that_tells_more_batches_is_a_curve() -> None:
    more = [{"batch": 4, "busyTime": "5ms"}, {"batch": 16, "busyTime": "18ms"}]
    cost = measured.from_status(known(artifact={**ARTIFACT, "batches": more}))
    assert cost is not None
    assert (cost.profile.batches, cost.profile.max_batch) == ((1, 4, 16), 16)
    assert cost.profile.latency(10) == pytest.approx(11.5e-3)


def test_what_a_client_waits_beyond_the_work_is_no_work() -> None:
    latency = {"latency": {"after": "2.51ms", "p99": "4ms"}}
    cost = measured.from_status(known(artifact=ARTIFACT, optimization=latency))
    assert cost is not None
    assert cost.network == pytest.approx(0.6e-3)
    unknown = measured.from_status(known(artifact=ARTIFACT))
    assert unknown is not None
    assert unknown.network == 0


def test_what_loading_took_counts_where_it_is_more() -> None:
    placement = [{"server": "s-1", "memory": 90_000_000}, {"server": "s-2"}]
    cost = measured.from_status(known(artifact=ARTIFACT, placement=placement))
    assert cost is not None
    assert cost.profile.memory == 90_000_000


def _corrected(cost: measured.Cost, model: Model) -> measured.Cost:
    return measured.corrected({"m": cost}, {"m": model})["m"]


def test_live_counters_correct_a_curve() -> None:
    model = known(traffic={"requestsPerSecond": "10", "batch": "8.00", "busyTime": "30.6ms"})
    cost = _corrected(measured.from_json(BERT, "bert.json"), model)
    assert cost.profile.latency(1) == pytest.approx(7.2e-3)
    same = _corrected(cost, known(traffic={"requestsPerSecond": "0"}))
    assert same == cost


def test_what_neighbours_add_is_no_part_of_a_models_cost() -> None:
    """Executions take twice as long beside a model that takes half of the server."""
    cost = measured.from_json(BERT, "bert.json")
    beside = [{"server": "s-1", "state": "Loaded"}]
    seen = {
        "samplesPerRequest": "1",
        "batch": "1",
        "busyTime": f"{2000 * cost.profile.latency(1):.3f}ms",
    }
    model = known(traffic={"requestsPerSecond": "1", **seen}, placement=beside)
    busy = {
        "samplesPerRequest": "1",
        "batch": "1",
        "busyTime": f"{1000 * cost.profile.latency(1):.3f}ms",
    }
    rate = 0.5 / cost.profile.latency(1)
    other = known(traffic={"requestsPerSecond": f"{rate:.3f}", **busy}, placement=beside)
    found = measured.corrected({"m": cost, "o": cost}, {"m": model, "o": other})
    assert found["m"].profile.latency(1) == pytest.approx(cost.profile.latency(1), rel=0.02)
    apart = measured.corrected({"m": cost}, {"m": model})
    assert apart["m"].profile.latency(1) == pytest.approx(2 * cost.profile.latency(1))


@pytest.mark.parametrize(
    "status", [{}, {"artifact": None}, {"artifact": {**ARTIFACT, "busyTime": ""}}]
)
def test_a_status_that_does_not_know_says_nothing(status: dict[str, object]) -> None:
    assert measured.from_status(Model(name="m", spec=SPEC, status=status)) is None


def test_nobody_measured_it() -> None:
    cost = measured.unknown(2**30)
    assert not cost.measured
    assert cost.profile.memory == 2**30


def _changed(**changes: object) -> str:
    return json.dumps({**json.loads(BERT), **changes})


WRONG = {
    "no JSON": ("{", "write it anew by a conversion or an import"),
    "another schema": ('{"schema": 2}', "not a profile of schema 1"),
    "no memory": (_changed(memory=None, memory_peak=None), "import it again with --memory"),
    "never busy": (
        _changed(points=[{**json.loads(BERT)["points"][0], "busy_seconds": 0.0}]),
        "profile the model again",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_profile_is_one_line(name: str) -> None:
    text, told = WRONG[name]
    with pytest.raises(QuestionError, match=told) as caught:
        measured.from_json(text, "p.json")
    assert str(caught.value).startswith("p.json: ")
