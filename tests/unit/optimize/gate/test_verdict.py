"""Verdicts on candidates, demand by demand, and what is refused for want of samples."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.optimize.gate import tango, verdict
from tightship.optimize.gate.needs import joined, needs
from tightship.optimize.gate.verdict import Demands, Verdict
from tightship.optimize.metrics import registry
from tightship.optimize.metrics.base import Judged, Traits, Truth, of_scores

ACCURACY, MAE, WER = (registry.traits(name) for name in ("accuracy", "mae", "wer"))


def right(n: int, wrong: int) -> Judged:
    scores = np.ones(n)
    scores[:wrong] = 0
    return of_scores(scores, right=scores == 1)


VERDICTS = [
    # n, wrong before, wrong after, allowed, passes, hopeless
    ("equal on enough samples", 300, 10, 10, 0.01, True, False),
    ("equal on too few samples", 200, 10, 10, 0.01, False, False),
    ("one in a thousand lost", 1000, 10, 11, 0.01, True, False),
    ("as much lost as allowed", 1000, 10, 20, 0.01, False, False),
    ("far more lost than allowed", 1000, 10, 200, 0.01, False, True),
    ("better than the original", 300, 30, 10, 0.01, True, False),
    ("no drop is allowed", 10_000, 0, 0, 0.0, False, False),
    ("five samples say nothing", 5, 0, 5, 0.5, False, False),
]


@pytest.mark.parametrize(
    ("n", "before", "after", "allowed", "passes", "hopeless"),
    [case[1:] for case in VERDICTS],
    ids=[case[0] for case in VERDICTS],
)
def test_shares(
    n: int, before: int, after: int, allowed: float, *, passes: bool, hopeless: bool
) -> None:
    demands = Demands(max_drop=allowed, confidence=0.95)
    found = verdict.judge(ACCURACY, right(n, before), right(n, after), demands)
    assert (found.passes, found.hopeless) == (passes, hopeless)
    assert found.drop == pytest.approx((after - before) / n)


def test_ranks_are_judged_by_their_mean_and_spread() -> None:
    ranks = np.tile([1.0, 0.5, 0.25, 0.2], 100)
    before, same, worse = of_scores(ranks), of_scores(ranks.copy()), of_scores(ranks * 0.9)
    strict, lenient = (Demands(max_drop=drop, confidence=0.95) for drop in (0.01, 0.1))
    traits = registry.traits("mrr")

    equal = verdict.judge(traits, before, same, strict)
    assert equal.upper == pytest.approx(tango.resolution(400, 0.95))
    assert verdict.judge(traits, before, worse, strict).hopeless
    assert verdict.judge(traits, before, worse, lenient).passes


@pytest.mark.parametrize("metric", ["f1", "auc"])
def test_a_rare_class_is_not_taken_for_a_share_when_all_answers_are_right(metric: str) -> None:
    labels = (np.arange(1000) < 20).astype(np.int64)
    answers = labels if metric == "f1" else labels[:, np.newaxis].astype(np.float32)
    same = registry.judge(metric, Truth(labels=labels), {}, {"y": answers})
    demands = Demands(max_drop=0.01, confidence=0.95, worst_value=0.99)
    found = verdict.judge(registry.traits(metric), same, same, demands)
    assert found.failed == ("maxDrop", "worstValue")
    assert found.upper > 5 * tango.resolution(1000, 0.95)


def _errors(scale: float) -> Judged:
    return of_scores(scale * np.tile([0.1, 0.2, 0.3, 0.4], 250), lost=1.0)


ERRORS = [
    ("smaller", 0.5, True, False),
    ("equal", 1.0, True, False),
    ("a little larger", 1.05, True, False),
    ("too large", 1.2, False, True),
]


@pytest.mark.parametrize(
    ("scale", "passes", "hopeless"), [c[1:] for c in ERRORS], ids=[c[0] for c in ERRORS]
)
def test_errors_may_not_grow(scale: float, *, passes: bool, hopeless: bool) -> None:
    demands = Demands(max_drop=0.02, confidence=0.95)
    found = verdict.judge(MAE, _errors(1), _errors(scale), demands)
    assert (found.passes, found.hopeless) == (passes, hopeless)
    assert found.drop == pytest.approx(0.25 * (scale - 1))
    assert found.lower <= found.drop <= found.upper


WORST = [
    # traits, judged, worst value, passes, hopeless
    ("well above", ACCURACY, right(1000, 20), 0.95, True, False),
    ("above, but not for sure", ACCURACY, right(1000, 45), 0.95, False, False),
    ("below for sure", ACCURACY, right(1000, 200), 0.95, False, True),
    ("well below, smaller is better", MAE, _errors(1), 0.3, True, False),
    ("above for sure, smaller is better", MAE, _errors(2), 0.3, False, True),
]


@pytest.mark.parametrize(
    ("traits", "judged", "worst", "passes", "hopeless"),
    [case[1:] for case in WORST],
    ids=[case[0] for case in WORST],
)
def test_the_worst_value_binds_in_both_directions(
    traits: Traits, judged: Judged, worst: float, *, passes: bool, hopeless: bool
) -> None:
    demands = Demands(max_drop=1.0, confidence=0.95, worst_value=worst)
    found = verdict.judge(traits, judged, judged, demands)
    assert (found.passes, found.hopeless) == (passes, hopeless)
    assert found.worst is not None
    assert traits.loss(found.after, found.worst) > 0


def _classes(rare: int, lost: int) -> tuple[np.ndarray, Judged, Judged]:
    """1000 samples of class 0 and some of class 1, of which some are lost."""
    labels = np.array([0] * 1000 + [1] * rare)
    after = labels.copy()
    after[1000 : 1000 + lost] = 0
    found = [
        registry.judge("accuracy", Truth(labels=labels), {}, {"y": answers})
        for answers in (labels, after)
    ]
    return labels, found[0], found[1]


CLASSES = [
    ("nothing lost", 100, 0, (), False),
    ("the rare class loses, the whole hardly", 100, 8, ("maxClassDrop",), False),
    ("the rare class loses for sure", 100, 20, ("maxDrop", "maxClassDrop"), True),
    ("too few of the rare class", 20, 0, ("maxClassDrop",), False),
]


@pytest.mark.parametrize(
    ("rare", "lost", "failed", "hopeless"), [c[1:] for c in CLASSES], ids=[c[0] for c in CLASSES]
)
def test_no_class_may_lose_more(
    rare: int, lost: int, failed: tuple[str, ...], *, hopeless: bool
) -> None:
    labels, before, after = _classes(rare, lost)
    demands = Demands(max_drop=0.02, confidence=0.95, max_class_drop=0.05)
    found = verdict.judge(ACCURACY, before, after, demands, labels)
    assert (found.failed, found.hopeless) == (failed, hopeless)
    assert found.worst_class is not None
    assert (found.worst_class.label, found.worst_class.n) == (1, rare)


FLOORS = [
    # samples of the rare class, wrong in it, floor, passes, hopeless, least lower bound
    ("always right, just enough", 52, 0, 0.95, True, False, 0.950544),
    ("always right, one too few", 51, 0, 0.95, False, False, 0.949623),
    ("above, and for sure", 100, 8, 0.85, True, False, 0.863535),
    ("above, but not for sure", 100, 8, 0.9, False, False, 0.863535),
    ("below, but not for sure", 100, 12, 0.9, False, False, 0.816306),
    ("below for sure", 100, 20, 0.9, False, True, 0.726696),
    ("a handful says nothing", 5, 0, 0.1, False, False, 0.0),
    ("a handful of errors says nothing either", 5, 5, 0.9, False, False, 0.0),
    ("nothing is asked for", 5, 5, 0.0, True, False, 0.0),
    ("all wrong, and nothing asked for", 100, 100, 0.0, True, False, 0.0),
    ("nobody is always right", 1000, 0, 1.0, False, False, 0.997302),
]


@pytest.mark.parametrize(
    ("rare", "wrong", "floor", "passes", "hopeless", "lower"),
    [c[1:] for c in FLOORS],
    ids=[c[0] for c in FLOORS],
)
def test_no_class_may_be_below_the_floor(
    rare: int, wrong: int, floor: float, *, passes: bool, hopeless: bool, lower: float
) -> None:
    labels, before, after = _classes(rare, wrong)
    demands = Demands(max_drop=1.0, confidence=0.95, worst_class_value=floor)
    found = verdict.judge(ACCURACY, before, after, demands, labels)
    assert found.failed == (() if passes else ("worstClassValue",))
    assert found.hopeless is hopeless
    assert found.worst_class is None
    assert found.lowest_class is not None
    assert found.lowest_class.lower == pytest.approx(lower, abs=1e-6)
    if rare < 1000 or wrong:
        assert (found.lowest_class.label, found.lowest_class.n) == (1, rare)


def test_a_class_that_the_original_knows_as_little_is_refused_too() -> None:
    labels, _, after = _classes(100, 20)
    demands = Demands(max_drop=1.0, confidence=0.95, max_class_drop=0.5, worst_class_value=0.9)
    found = verdict.judge(ACCURACY, after, after, demands, labels)
    assert (found.failed, found.hopeless) == (("worstClassValue",), True)
    assert verdict.lowest_recall(after, labels) == (1, 100, 0.8)


def test_a_metric_without_classes_holds_no_demand_on_them() -> None:
    blind = of_scores(np.ones(100))
    demands = Demands(max_drop=1.0, confidence=0.95, worst_class_value=0.0)
    found = verdict.judge(ACCURACY, blind, blind, demands, np.zeros(100, dtype=np.int64))
    assert (found.failed, found.hopeless) == (("worstClassValue",), False)
    assert verdict.lowest_recall(blind, np.zeros(100, dtype=np.int64)) is None


@given(
    answers=st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=120),
    more=st.sets(st.integers(0, 119)),
    floor=st.floats(0, 1),
    confidence=st.sampled_from([0.5, 0.8, 0.95, 0.999]),
)
def test_more_errors_never_lift_a_class_to_its_floor(
    answers: list[tuple[int, bool]], more: set[int], floor: float, confidence: float
) -> None:
    labels = np.array([label for label, _ in answers])
    fewer = np.array([right for _, right in answers])
    worse = fewer & ~np.isin(np.arange(len(answers)), list(more))
    demands = Demands(max_drop=1.0, confidence=confidence, worst_class_value=floor)
    original = of_scores(np.ones(len(labels)), right=np.ones(len(labels), dtype=bool))
    first, second = (
        verdict.judge(ACCURACY, original, of_scores(1.0 * right, right=right), demands, labels)
        for right in (fewer, worse)
    )
    assert "worstClassValue" not in first.failed or "worstClassValue" in second.failed
    assert not first.hopeless or second.hopeless
    assert first.lowest_class is not None
    assert second.lowest_class is not None
    assert second.lowest_class.lower <= first.lowest_class.lower + 1e-12


@given(
    counts=st.lists(st.integers(1, 80), min_size=1, max_size=5),
    floor=st.floats(0.05, 1),
    confidence=st.sampled_from([0.8, 0.95, 0.99]),
)
def test_what_the_data_can_show_of_classes_is_what_the_best_candidate_passes(
    counts: list[int], floor: float, confidence: float
) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    best = of_scores(np.ones(len(labels)), right=np.ones(len(labels), dtype=bool))
    demands = Demands(max_drop=1.0, confidence=confidence, worst_class_value=floor)
    told = "".join(needs(ACCURACY, best, demands, labels).shortfalls)
    found = verdict.judge(ACCURACY, best, best, demands, labels)
    assert ("a recall of at least" in told) == ("worstClassValue" in found.failed)


def test_samples_that_cannot_tell_decide_nothing() -> None:
    blind = Judged(value=math.nan, parts=np.zeros(50), unseen=lambda _n, _z: 0.0)
    demands = Demands(max_drop=0.5, confidence=0.95, worst_value=0.5)
    found = verdict.judge(ACCURACY, blind, blind, demands)
    assert not found.passes
    assert not found.hopeless


@given(
    wrong=st.integers(0, 100),
    more=st.integers(0, 100),
    allowed=st.floats(0, 0.2),
    confidence=st.sampled_from([0.8, 0.95, 0.99]),
)
def test_more_harm_never_helps(wrong: int, more: int, allowed: float, confidence: float) -> None:
    demands = Demands(max_drop=allowed, confidence=confidence, worst_value=0.5)
    before = right(400, 50)
    less, worse = (
        verdict.judge(ACCURACY, before, right(400, count), demands)
        for count in (wrong, wrong + more)
    )
    assert worse.upper >= less.upper - 1e-12
    assert less.passes or not worse.passes


ANSWERS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=6, max_size=60)


@given(
    pairs=ANSWERS,
    order=st.randoms(use_true_random=False),
    name=st.sampled_from(["accuracy", "mrr"]),
)
def test_bounds_are_symmetric_and_do_not_depend_on_order(
    pairs: list[tuple[bool, bool]], order: object, name: str
) -> None:
    def bounds(first: int) -> tuple[float, float]:
        scores = [of_scores(np.array([float(pair[i]) for pair in pairs])) for i in (0, 1)]
        return verdict.loss_bounds(registry.traits(name), scores[first], scores[1 - first], 0.95)

    lower, upper = bounds(0)
    assert bounds(1) == pytest.approx((-upper, -lower), abs=1e-9)
    order.shuffle(pairs)  # type: ignore[attr-defined]
    assert bounds(0) == pytest.approx((lower, upper), abs=1e-9)


def _told(found: Verdict, demands: Demands, traits: Traits = ACCURACY) -> str:
    return verdict.explained(traits, found, demands)


def test_each_reason_is_told_with_its_figures() -> None:
    labels, before, after = _classes(100, 20)
    demands = Demands(
        max_drop=0.01,
        confidence=0.95,
        worst_value=0.99,
        max_class_drop=0.05,
        worst_class_value=0.75,
    )
    found = verdict.judge(ACCURACY, before, after, demands, labels)
    told = _told(found, demands)
    assert told.startswith("accuracy 1.0000 -> 0.9818 on 1100 samples: at 95% confidence the drop")
    assert "more than the 0.01 allowed" in told
    assert "worse than the 0.99 asked for" in told
    recalls = "recall of class 1 1.0000 -> 0.8000 on 100 samples: at 95% confidence"
    assert f"{recalls} its drop may be 0.2733, more than the 0.05 allowed" in told
    assert f"{recalls} it may be as low as 0.7267, below the 0.75 asked for" in told
    assert json.loads(json.dumps(found.to_json()))["passes"] is False

    grown = verdict.judge(MAE, _errors(1), _errors(2), Demands(max_drop=0.01, confidence=0.95))
    assert "the rise may be" in _told(grown, Demands(max_drop=0.01, confidence=0.95), MAE)


def test_what_the_data_cannot_show_is_told_with_the_samples_it_takes() -> None:
    labels, before, _ = _classes(20, 0)
    demands = Demands(
        max_drop=0.001,
        confidence=0.95,
        worst_value=0.999,
        max_class_drop=0.05,
        worst_class_value=0.9,
    )
    found = needs(ACCURACY, before, demands, labels)
    drop, value, classes, floor = found.shortfalls
    assert found.samples == 2703
    assert "at most 0.001 at 95% confidence: there are 1020, it takes at least 2703" in drop
    assert "accuracy of at least 0.999 at 95% confidence" in value
    assert "too few samples of class 1 (20), each needs 52" in classes
    assert "a recall of at least 0.9 in each class at 95% confidence" in floor
    assert "too few samples of class 1 (20), each needs 25" in floor
    assert joined(found.shortfalls).startswith("the gate is finer than the data can show: ")


def test_enough_data_want_for_nothing() -> None:
    labels, before, _ = _classes(100, 0)
    demands = Demands(
        max_drop=0.01,
        confidence=0.95,
        worst_value=0.9,
        max_class_drop=0.05,
        worst_class_value=0.95,
    )
    found = needs(ACCURACY, before, demands, labels)
    assert (found.samples, found.exact, found.shortfalls) == (268, True, ())


def test_a_gate_that_nothing_can_show_says_so() -> None:
    labels, before, _ = _classes(100, 0)
    demands = Demands(max_drop=0.0, confidence=0.95, max_class_drop=0.0, worst_class_value=1.0)
    found = needs(ACCURACY, before, demands, labels)
    assert (found.samples, len(found.shortfalls)) == (None, 3)
    assert all("no number of samples can show it" in told for told in found.shortfalls)


def test_an_estimate_is_called_one() -> None:
    labels = np.array([0] * 950 + [1] * 50)
    judged = registry.judge("f1", Truth(labels=labels), {}, {"y": labels})
    found = needs(registry.traits("f1"), judged, Demands(max_drop=0.01, confidence=0.95), labels)
    assert not found.exact
    assert found.samples is not None
    assert f"it takes about {found.samples} samples" in found.shortfalls[0]
    z = verdict.z_of(0.95)
    assert judged.unseen(found.samples, z) <= 0.01 < judged.unseen(found.samples - 1, z)


@pytest.mark.parametrize("n", [0, 3, 5])
def test_a_handful_of_samples_is_always_too_few(n: int) -> None:
    found = needs(WER, right(n, 0), Demands(max_drop=0.9, confidence=0.95))
    assert found.shortfalls
