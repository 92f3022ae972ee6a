"""What is told of a model's traffic: figures of simulated counters, and what is news."""

from dataclasses import replace

import numpy as np
import pytest

from tightship.agent.journal import Served
from tightship.agent.slot import Slot
from tightship.agent.traffic import INTERVAL, LONG, SHORT, Count, Window, told
from tightship.api.agent import ModelAssignment, ServingConfig
from tightship.api.traffic import Traffic


def _counts(arrivals: np.ndarray, *, rows: int = 1, busy: float = 0.01) -> list[Count]:
    """Readings every five seconds of requests at these instants, each an execution of its own."""
    last = int(arrivals[-1] // INTERVAL) if len(arrivals) else LONG
    return [
        Count(
            at=100 + n * INTERVAL,
            requests=(done := int(np.searchsorted(arrivals, n * INTERVAL))),
            rows=done * rows,
            executions=done,
            busy=done * busy,
        )
        for n in range(last + 1)
    ]


def _renewal(rate: float, cv: float, seconds: float, seed: int) -> np.ndarray:
    """Instants of requests whose distances are gamma distributed."""
    rng = np.random.default_rng(seed)
    shape = 1 / cv**2
    gaps = rng.gamma(shape, 1 / (rate * shape), size=int(rate * seconds * 2) + 50)
    instants = np.cumsum(gaps)
    return instants[instants < seconds]


def _seen(counts: list[Count]) -> Traffic | None:
    window = Window()
    for count in counts:
        window.add(count)
    return window.traffic()


def test_figures_of_steady_requests() -> None:
    found = _seen(_counts(np.arange(0, 301, 0.1), rows=4, busy=0.02))
    assert found is not None
    assert found.rate == pytest.approx(10)
    assert (found.rows, found.batch) == (4, 4)
    assert found.busy == pytest.approx(0.02)
    assert found.cv == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize("cv", [1.0, 2.0, 3.0])
def test_burstiness_is_that_of_the_arrivals(cv: float) -> None:
    found = [_seen(_counts(_renewal(50, cv, 301, seed))) for seed in range(20)]
    told_cvs = [each.cv for each in found if each is not None and each.cv is not None]
    assert len(told_cvs) == 20
    assert np.mean(told_cvs) == pytest.approx(cv, rel=0.1)


def test_a_minute_must_have_been_watched() -> None:
    counts = _counts(np.arange(0, 301, 0.1))
    assert _seen(counts[:SHORT]) is None
    assert _seen(counts[: SHORT + 1]) is not None


def test_a_model_without_requests_has_figures_too() -> None:
    assert _seen(_counts(np.empty(0))) == Traffic(rate=0)


def test_few_requests_tell_no_burstiness() -> None:
    found = _seen(_counts(np.arange(0, 301, 10.0)))
    assert found is not None
    assert found.cv is None
    assert found.rate == pytest.approx(0.1)


def test_counters_that_begin_anew_are_no_negative_rate() -> None:
    counts = _counts(np.arange(0, 301, 0.1))
    again = [replace(count, at=count.at + 300) for count in counts]
    assert _seen(counts + again[:SHORT]) is None
    assert _seen(counts + again) == _seen(again)


_TOLD = Traffic(rate=10, rows=1, batch=2, busy=0.01, cv=1.0)


@pytest.mark.parametrize(
    ("change", "news"),
    [
        pytest.param({}, False, id="nothing"),
        pytest.param({"rate": 11.9}, False, id="a-rate-that-chance-explains"),
        pytest.param({"rate": 12.1}, True, id="a-rate-that-chance-does-not-explain"),
        pytest.param({"busy": 0.0119}, False, id="a-little-slower"),
        pytest.param({"busy": 0.0121}, True, id="slower"),
        pytest.param({"batch": 2.5}, True, id="larger-batches"),
        pytest.param({"rows": 1.3}, True, id="larger-requests"),
        pytest.param({"cv": 1.2}, False, id="a-little-burstier"),
        pytest.param({"cv": 1.4}, True, id="burstier"),
        pytest.param({"cv": None}, False, id="burstiness-not-to-be-told-now"),
        pytest.param({"rate": 0.0}, True, id="silence"),
    ],
)
def test_what_is_told(*, change: dict[str, float | None], news: bool) -> None:
    now = replace(_TOLD, **change)  # type: ignore[arg-type]
    assert told(_TOLD, now) is (now if news else _TOLD)


def test_first_and_last_figures_are_told() -> None:
    assert told(None, _TOLD) is _TOLD
    assert told(_TOLD, None) is None


@pytest.mark.parametrize(("rate", "cv"), [(0.02, 1.0), (0.2, 1.0), (2, 2.0), (20, 1.0), (200, 3.0)])
def test_of_a_steady_load_little_is_told(rate: float, cv: float) -> None:
    """An agent's state rests: in two hours, each of 720 readings, a few are told."""
    window, last, times = Window(), None, 0
    for count in _counts(_renewal(rate, cv, 7200, 5)):
        window.add(count)
        now = told(last, window.traffic())
        times += now is not last
        last = now
    assert 1 <= times <= 10


def test_the_served_model_shows_its_traffic() -> None:
    slot = Slot("shown", lambda: None)
    slot.want(ModelAssignment(name="shown", key="k", digest="d", memory=1, config=ServingConfig()))
    assert slot.wanted is not None
    slot.reached(Served(assignment=slot.wanted, memory=1, load_seconds=0.1))
    assert slot.view().traffic is None
    slot.observed(Traffic(rate=2.5, cv=1.5))
    assert slot.view().traffic == Traffic(rate=2.5, cv=1.5)


@pytest.mark.parametrize("figures", [Traffic(rate=0), Traffic(rate=1.5, rows=2, batch=3, cv=1)])
def test_the_wire_form(figures: Traffic) -> None:
    assert Traffic.from_json(figures.to_json()) == figures
    assert Traffic.from_json({**figures.to_json(), "of a newer agent": 1}) == figures
