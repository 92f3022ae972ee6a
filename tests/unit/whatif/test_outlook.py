"""The answer to small questions, by hand."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.whatif.questions import GIB, model, pool, question

from tightship.whatif import outlook
from tightship.whatif.errors import QuestionError
from tightship.whatif.growth import Resource
from tightship.whatif.outlook import Outlook, Step, Verdict
from tightship.whatif.question import Running


def verdicts(found: Outlook) -> dict[str, Verdict]:
    return {model.name: model.verdict for model in found.models}


def test_small_models_share_a_server() -> None:
    found = outlook.answer(question(model("a", 50), model("b", 30), price=2.0))
    assert verdicts(found) == {"a": Verdict.INSIDE, "b": Verdict.INSIDE}
    assert found.fine
    (server,) = found.servers
    assert [held.model for held in server.models] == ["a", "b"]
    assert (server.memory, server.capacity, server.running) == (2 * GIB, 10 * GIB, False)
    assert 0.15 < server.duty < 0.2
    assert (found.billed, found.least, found.cost) == (1, 1, 2.0)
    for each in found.models:
        assert each.p99 is not None
        assert 0.002 < each.p99 < 0.05
        assert each.servers == ("new-1",)


def test_memory_fills_servers() -> None:
    models = [model(f"m-{i}", 1, memory=4 * GIB) for i in range(5)]
    found = outlook.answer(question(*models))
    assert len(found.servers) == found.billed == 3
    assert 2 <= found.least <= 3
    assert all(server.memory <= server.capacity for server in found.servers)


def test_the_pool_keeps_servers_that_nothing_is_on() -> None:
    found = outlook.answer(question(model("a", 1), of=pool(min_servers=3), price=1.5))
    assert (len(found.servers), found.billed, found.cost) == (1, 3, 4.5)


def test_without_a_price_there_is_no_cost() -> None:
    found = outlook.answer(question(model("a", 1)))
    assert found.cost is None
    assert any("--price" in note for note in found.notes)


def test_a_heavy_load_takes_copies_and_says_that_the_spec_has_fewer() -> None:
    found = outlook.answer(question(model("a", 1000)))
    (busy,) = found.models
    assert (busy.asked, busy.copies, busy.verdict) == (1, 3, Verdict.INSIDE)
    assert any(note.endswith("plan with --fixed-copies: a") for note in found.notes)
    held = outlook.answer(question(model("a", 1000), fixed_copies=True))
    assert not held.fine
    assert held.models[0].copies <= 1
    assert held.models[0].told


def test_who_does_not_fit_waits_by_priority() -> None:
    low, high = (model(n, 1, memory=9 * GIB, priority=p) for n, p in (("low", 10), ("high", 200)))
    found = outlook.answer(question(low, high, of=pool(max_servers=1)))
    assert verdicts(found) == {"high": Verdict.INSIDE, "low": Verdict.WAITING}
    assert not found.fine


def test_an_objective_below_the_models_own_time_is_missed() -> None:
    slow = model("slow", 1, seconds=0.08)
    found = outlook.answer(question(slow))
    assert verdicts(found) == {"slow": Verdict.OUTSIDE}
    assert found.limits[-1].resource is Resource.LATENCY
    assert found.limits[-1].factor == 0


def test_nobody_measured_it_so_it_has_a_server_of_its_own() -> None:
    found = outlook.answer(question(model("a", 1), model("b", 1, measured=False)))
    assert verdicts(found) == {"a": Verdict.INSIDE, "b": Verdict.NOT_MEASURED}
    assert len(found.servers) == 2
    assert found.models[1].p99 is None
    assert any(note.startswith("not measured") and note.endswith(": b") for note in found.notes)


def test_without_an_objective_nothing_is_missed() -> None:
    found = outlook.answer(question(model("a", 1, slo={"class": "None"})))
    assert verdicts(found) == {"a": Verdict.NO_OBJECTIVE}


def test_a_median_objective_is_planned_as_p99_and_says_so() -> None:
    latency = {"latency": {"percentile": 50, "target": "40ms"}}
    found = outlook.answer(question(model("a", 1, slo=latency)))
    assert any(note.startswith("planned by p99") for note in found.notes)


def test_what_breaks_first() -> None:
    found = outlook.answer(question(model("a", 100), of=pool(max_servers=2)))
    one, two = found.limits
    assert (one.servers, two.servers) == (1, 2)
    assert one.factor is not None
    assert two.factor is not None
    # a copy promises at most 0.75 of its server: 375 samples of 2 ms a second
    assert 1 < one.factor < 3.75
    assert one.factor < two.factor < 7.5
    assert (one.model, two.model) == ("a", "a")
    assert two.resource in {Resource.TIME, Resource.COPIES}
    again = outlook.answer(question(model("a", 100 * one.factor), of=pool(max_servers=1)))
    assert again.fine
    over = outlook.answer(question(model("a", 100 * one.factor * 1.02), of=pool(max_servers=1)))
    assert not over.fine


def test_too_much_already_is_a_factor_below_one() -> None:
    found = outlook.answer(question(model("a", 1000), of=pool(max_servers=1)))
    (limit,) = found.limits
    assert limit.factor is not None
    assert 0 < limit.factor < 0.375


def test_nearly_no_load_has_no_limit_worth_telling() -> None:
    found = outlook.answer(question(model("a", 0.01)))
    assert [limit.factor for limit in found.limits] == [None, None]


NOW = Running(servers={"s-1": "n-1", "s-2": "n-2"}, placement={"a": ("s-1",), "b": ("s-2",)})


def test_what_runs_stays_where_it_is() -> None:
    models = (model("a", 50), model("b", 50), model("c", 50))
    found = outlook.answer(question(*models, running=NOW))
    assert found.changes is not None
    placed = {m.name: m.servers for m in found.models}
    assert (placed["a"], placed["b"]) == (("s-1",), ("s-2",))
    assert [(s.model, s.source, s.wave) for s in found.changes.steps] == [("c", None, 0)]
    assert (found.changes.starts, found.changes.stops) == ((), ())
    assert all(server.running for server in found.servers)


def test_a_budget_of_moves_saves_a_server() -> None:
    models = (model("a", 50), model("b", 50))
    found = outlook.answer(question(*models, running=NOW, budget=1.0))
    assert found.changes is not None
    assert len(found.servers) == 1
    (step,) = found.changes.steps
    assert {step.source, step.target} == {"s-1", "s-2"}
    assert found.changes.stops == (step.source,)


def test_a_model_that_leaves_the_question_is_unloaded() -> None:
    found = outlook.answer(question(model("a", 50), running=NOW))
    assert found.changes is not None
    assert found.changes.steps == (Step("b", "s-2", None, 0),)
    assert found.changes.stops == ("s-2",)


@pytest.mark.parametrize(("told", "delay"), [({}, 0.0), ({"maxQueueDelay": "6ms"}, 0.006)])
def test_what_runs_is_predicted_as_it_is_served(told: dict[str, str], delay: float) -> None:
    models = [model("a", 100), model("b", 80)]
    served = replace(models[0].resource, status={"serving": told})
    models[0] = replace(models[0], resource=served)
    found = outlook.answer(question(*models, running=NOW))
    assert found.models[0].delay == delay
    assert found.models[0].p99 is not None
    assert delay < found.models[0].p99 < 0.05


def test_the_pool_keeps_a_running_server_that_nothing_is_on() -> None:
    found = outlook.answer(question(model("a", 50), running=NOW, of=pool(min_servers=2)))
    assert found.changes is not None
    assert found.changes.stops == ()


def test_fewer_servers_than_run() -> None:
    found = outlook.answer(question(model("a", 9), model("b", 9), running=NOW, max_servers=1))
    assert [server.name for server in found.servers] == ["s-1"]
    assert found.changes is not None
    assert found.changes.steps == (Step("b", "s-2", "s-1", 0),)
    assert found.changes.stops == ("s-2",)


def test_a_load_that_grows_starts_servers() -> None:
    found = outlook.answer(question(model("a", 900), model("b", 50), running=NOW))
    assert found.fine
    assert found.changes is not None
    assert found.changes.starts
    assert {s.target for s in found.changes.steps} >= set(found.changes.starts)
    assert "s-1" in found.models[0].servers


def test_a_question_without_models_is_none() -> None:
    with pytest.raises(QuestionError, match="no model names the pool shared"):
        question()


@settings(max_examples=6, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 400), st.floats(0.0005, 0.05), st.integers(1, 8), st.integers(1, 3)),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 5),
    st.booleans(),
)
def test_no_promise_is_broken_by_the_answer_itself(
    rows: list[tuple[float, float, int, int]], servers: int, known: object
) -> None:
    models = [
        model(f"m-{i}", rate, seconds, gib * GIB, replicas=copies)
        for i, (rate, seconds, gib, copies) in enumerate(rows)
    ]
    running = NOW if known else None
    found = outlook.answer(question(*models, of=pool(max_servers=servers), running=running))
    assert len(found.servers) <= max(servers, 2 if known else 0)
    for server in found.servers:
        assert sum(held.memory for held in server.models) == server.memory <= server.capacity
        assert sum(held.duty for held in server.models) == pytest.approx(server.duty)
        assert len({held.model for held in server.models}) == len(server.models)
    for each in found.models:
        assert each.copies == len(set(each.servers))
        assert each.p99 is None or math.isfinite(each.p99)
        if each.verdict is Verdict.INSIDE:
            assert each.objective is not None
            assert each.p99 is not None
            assert each.p99 <= each.objective.target
        if each.verdict is Verdict.WAITING:
            assert each.told
    first = [limit.factor for limit in found.limits]
    assert found.fine == (first[-1] is None or first[-1] >= 1) or known
