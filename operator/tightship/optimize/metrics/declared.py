"""What a user's own metric says of itself, by attributes; whatever it says wrongly is refused."""

import math
from numbers import Real
from types import FunctionType
from typing import Any

from tightship.api.v1alpha1 import Better
from tightship.optimize.entry import METRIC
from tightship.optimize.failures import RefusalError
from tightship.optimize.metrics.base import Kind, Traits

_KNOWN = ("aggregate", "larger_is_better", "low", "high", "unit")
_DIRECTION = "_is_better"
_UNIT_MAX = 40


def traits(found: Any, entry: str, better: str | None = None) -> Traits:  # noqa: ANN401 (a user's)
    """The traits of a function or callable object; `better` is what was said beside its code.

    Raises:
        RefusalError: it cannot be called, or an attribute is unknown or of another kind.
    """
    if not callable(found):
        raise _invalid(entry, f"is a {type(found).__name__}; a function of outputs and labels")
    _check_names(found, entry)
    aggregate = _truth(found, "aggregate", entry, usual=False)
    low, high = _bound(found, "low", entry, -math.inf), _bound(found, "high", entry, math.inf)
    if not low < high:
        raise _invalid(entry, f"has the range {low:g} to {high:g}; `low` below `high`")
    ranged = math.isfinite(low) and math.isfinite(high)
    return Traits(
        name=entry,
        unit=_unit(found, entry),
        kind=Kind.RESAMPLED if aggregate else Kind.MEAN,
        larger_is_better=_direction(found, entry, better),
        low=low,
        high=high,
        counted=ranged and not aggregate,
    )


def _check_names(found: Any, entry: str) -> None:  # noqa: ANN401 (a user's object)
    """A misspelt direction must not be taken for the usual one."""
    given = set(getattr(found, "__dict__", {}))
    if not isinstance(found, FunctionType):
        given = {name for name in dir(found) if name.endswith(_DIRECTION)}
    unknown = sorted(name for name in given - set(_KNOWN) if not name.startswith("_"))
    if unknown:
        raise _invalid(
            entry, f"has the attribute `{unknown[0]}`, which means nothing; {', '.join(_KNOWN)}"
        )


def _direction(found: Any, entry: str, better: str | None) -> bool:  # noqa: ANN401
    asked = better != Better.SMALLER
    said = _truth(found, "larger_is_better", entry, usual=asked)
    if better is not None and said != asked:
        raise METRIC.refusal(
            f"{entry} says `larger_is_better = {said}`, and was asked for with {better} as better. "
            "Correct one of them."
        )
    return said


def _truth(found: Any, name: str, entry: str, *, usual: bool) -> bool:  # noqa: ANN401
    value = getattr(found, name, usual)
    if not isinstance(value, bool):
        raise _invalid(entry, f"has {value!r} as `{name}`; True or False")
    return value


def _bound(found: Any, name: str, entry: str, usual: float) -> float:  # noqa: ANN401
    value = getattr(found, name, usual)
    if isinstance(value, bool) or not isinstance(value, Real) or math.isnan(value):
        raise _invalid(entry, f"has {value!r} as `{name}`; a number")
    return float(value)


def _unit(found: Any, entry: str) -> str:  # noqa: ANN401 (a user's object)
    value = getattr(found, "unit", "own score")
    if not isinstance(value, str) or not 0 < len(value) <= _UNIT_MAX or not value.isprintable():
        raise _invalid(entry, f"has {value!r:.60} as `unit`; a text of up to {_UNIT_MAX} letters")
    return value


def _invalid(entry: str, message: str) -> RefusalError:
    return METRIC.refusal(f"{entry} {message} is due.")
