"""How many samples a gate needs at best, and why data are too few for it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tightship.optimize.gate import tango
from tightship.optimize.gate.verdict import SAMPLES_MIN, Demands, z_of
from tightship.optimize.metrics.base import Judged, Traits

SAMPLES_MAX = 10**9
_NAMED = 3  # classes that a message names


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What these data can show at best, and what the gate would need.

    `resolution` is the least loss that can be ruled out when no sample differs; `samples` how many
    of the same composition can rule out `max_drop`, None when no number can. Where the metric's
    loss depends on the data, the number is an estimate (`exact` is False).
    """

    resolution: float
    samples: int | None
    exact: bool
    shortfalls: tuple[str, ...]  # one sentence part for each demand that these data cannot show


def needs(
    traits: Traits, judged: Judged, demands: Demands, labels: np.ndarray | None = None
) -> Needs:
    """From what the metric found in the original's answers."""
    n, z = len(judged.parts), z_of(demands.confidence)
    found = judged.unseen(n, z)
    samples = _least(lambda count: judged.unseen(count, z), demands.max_drop)
    short: list[str] = []
    if n < SAMPLES_MIN or not found <= demands.max_drop:
        what = f"a loss of {traits.name} of at most {demands.max_drop:g}"
        short.append(_sentence(what, n, samples, demands, exact=traits.counted))
    short += _value(traits, judged, demands)
    if labels is not None:
        short += _classes(labels, demands)
    return Needs(resolution=found, samples=samples, exact=traits.counted, shortfalls=tuple(short))


def samples_needed(max_drop: float, confidence: float) -> int | None:
    """How many samples can rule out a loss of a share at best; None when none can."""
    return _least(lambda count: tango.resolution(count, confidence), max_drop)


def _value(traits: Traits, judged: Judged, demands: Demands) -> list[str]:
    if demands.worst_value is None:
        return []
    n, z = len(judged.parts), z_of(demands.confidence)
    room = traits.loss(traits.best, demands.worst_value)
    if judged.unseen(n, z) <= room:
        return []
    samples = _least(lambda count: judged.unseen(count, z), room)
    least = "at least" if traits.larger_is_better else "at most"
    what = f"{traits.name} of {least} {demands.worst_value:g}"
    return [_sentence(what, n, samples, demands, exact=traits.counted)]


def _classes(labels: np.ndarray, demands: Demands) -> list[str]:
    drop, value, told = demands.max_class_drop, demands.worst_class_value, list[str]()
    if drop is not None:
        told += _rare(labels, f"a loss of recall of at most {drop:g}", drop, demands.confidence)
    if value is not None:
        told += _rare(labels, f"a recall of at least {value:g}", 1 - value, demands.confidence)
    return told


def _rare(labels: np.ndarray, what: str, room: float, confidence: float) -> list[str]:
    """What classes are too small for; Tango's and Wilson's bounds alike leave `room` at best."""
    kinds, counts = np.unique(labels, return_counts=True)
    needed = samples_needed(room, confidence)
    least = SAMPLES_MAX if needed is None else max(needed, SAMPLES_MIN)
    rare = [i for i in np.argsort(counts, kind="stable").tolist() if counts[i] < least]
    if not rare:
        return []
    named = ", ".join(f"{kinds[i]} ({counts[i]})" for i in rare[:_NAMED])
    more = f" and {len(rare) - _NAMED} more" if len(rare) > _NAMED else ""
    remedy = "no number of samples can show it" if needed is None else f"each needs {least}"
    told = (
        f"{what} in each class at {confidence:.0%} confidence: there are too few samples of class "
        f"{named}{more}, {remedy}"
    )
    return [told]


def _sentence(what: str, n: int, samples: int | None, demands: Demands, *, exact: bool) -> str:
    least = None if samples is None else max(samples, SAMPLES_MIN)
    about = "at least" if exact else "about"
    remedy = "no number of samples can show it"
    if least is not None:
        remedy = f"it takes {about} {least} samples"
    return f"{what} at {demands.confidence:.0%} confidence: there are {n}, {remedy}"


def _least(loss: Callable[[int], float], allowed: float) -> int | None:
    """The least count whose loss is allowed; losses fall with the count."""
    if not loss(SAMPLES_MAX) <= allowed * (1 + 1e-9):
        return None
    low, high = 0, SAMPLES_MAX  # low is not enough
    while high - low > 1:
        middle = (low + high) // 2
        if loss(middle) <= allowed * (1 + 1e-9):
            high = middle
        else:
            low = middle
    return high


def joined(shortfalls: Sequence[str]) -> str:
    """The reason why nothing can be judged."""
    remedy = "give more samples or allow more"
    return f"the gate is finer than the data can show: {'; '.join(shortfalls)}; {remedy}"
