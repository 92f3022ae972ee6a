"""Calls a user's own metric and checks what it gives; runs in a confined child.

The protocol is that of docs/metric.md: NAME(outputs, labels), with attributes that say what kind of
number it gives. Nothing that it gives is believed before it was checked.
"""

import traceback
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tightship.optimize import entry as entry_point
from tightship.optimize.entry import METRIC
from tightship.optimize.failures import RefusalError
from tightship.optimize.metrics import declared
from tightship.optimize.metrics.base import LOST_ERROR, Kind, Traits
from tightship.optimize.runtime import Outputs

_WORDS = 300
_RELATIVE, _ABSOLUTE = 1e-6, 1e-9  # what two equal scores may differ by
_RULES = "It may read files; it cannot write outside its own folder, start programs or connect."


@dataclass(frozen=True, slots=True)
class Function:
    """A user's function, by the name it was asked for, and what it says of itself."""

    entry: str
    call: Callable[[Outputs, np.ndarray], object]
    traits: Traits

    def refusal(self, message: str) -> RefusalError:
        """Of what the function is or does."""
        return METRIC.refusal(f"{self.entry} {message}")


def load(raw: Mapping[str, Any]) -> Function:
    """The function with its traits, of {folder, entry, better}.

    Raises:
        RefusalError: it cannot be loaded, or does not follow the protocol.
    """
    entry: str = raw["entry"]
    try:
        found = entry_point.load(METRIC, Path(raw["folder"]), entry)
        made = found() if isinstance(found, type) else found
    except RefusalError:
        raise
    except (Exception, SystemExit) as error:
        raise METRIC.refusal(f"{entry} cannot be loaded: {_told(error, entry)}") from error
    return Function(entry, made, declared.traits(made, entry, raw["better"]))


def describe_task(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Child's entry: {folder, entry, better} -> {traits}."""
    return {"traits": asdict(load(payload).traits)}


class Calls:
    """One model's answers, and what the function says of them. Every call gets its own copies."""

    def __init__(self, function: Function, outputs: Outputs, labels: np.ndarray) -> None:
        self.function, self._outputs, self._labels = function, outputs, labels
        self.n = len(labels)
        self.all = np.arange(self.n)

    def value(self, answers: np.ndarray, labels: np.ndarray) -> float:
        """Of an aggregate, with these rows of the answers and of the labels.

        Raises:
            RefusalError: it fails, or gives no number.
        """
        found = np.asarray(self._called(answers, labels))
        if found.size != 1 or found.dtype.kind not in "biuf":
            raise self.function.refusal(
                f"gives {_kind(found)}; an aggregate gives one number. For one score a sample "
                "leave `aggregate` out."
            )
        value = float(found.reshape(()))
        self._check_range(np.array([value]))
        return value

    def scores(self, answers: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """One score for each of these rows, float64.

        A score that is not finite is the worst where the answer is not finite either.

        Raises:
            RefusalError: it fails, or does not give one number in its range for each sample.
        """
        found = np.asarray(self._called(answers, labels))
        if found.dtype.kind not in "biuf" or found.size != len(answers) or found.ndim not in {1, 2}:
            raise self.function.refusal(
                f"gives {_kind(found)}; one score for each of {len(answers)} samples is due. A "
                "function that gives one number for all of them says `NAME.aggregate = True`."
            )
        scores = found.reshape(-1).astype(np.float64)
        odd = ~np.isfinite(scores)
        broken = odd & ~self._finite(answers)
        if (odd & ~broken).any():
            row = int(np.flatnonzero(odd & ~broken)[0])
            raise self.function.refusal(
                f"gives {scores[row]} for sample {int(labels[row])}, whose answer is finite. Give "
                "a number for each sample."
            )
        self._check_range(scores[~odd])
        return np.where(odd, _worst(self.function.traits), scores)

    def _called(self, answers: np.ndarray, labels: np.ndarray) -> object:
        outputs = {name: values[answers] for name, values in self._outputs.items()}
        try:
            return self.function.call(outputs, self._labels[labels])
        except (Exception, SystemExit) as error:
            told = _told(error, self.function.entry)
            raise self.function.refusal(f"failed on {len(answers)} samples: {told}") from error

    def _finite(self, rows: np.ndarray) -> np.ndarray:
        finite = np.ones(len(rows), bool)
        for values in self._outputs.values():
            if values.dtype.kind == "f":
                finite &= np.isfinite(values[rows]).reshape(len(rows), -1).all(axis=1)
        return finite

    def _check_range(self, values: np.ndarray) -> None:
        traits = self.function.traits
        slack = 1e-9 * max(1.0, *(abs(b) for b in (traits.low, traits.high) if np.isfinite(b)), 0.0)
        outside = values[(values < traits.low - slack) | (values > traits.high + slack)]
        if len(outside):
            raise self.function.refusal(
                f"gives {float(outside[0]):g}, outside its own range of {traits.low:g} to "
                f"{traits.high:g}. Correct `low` and `high`."
            )

    def check_repeats(self) -> None:
        """That equal questions get equal answers, and samples are judged by themselves.

        Raises:
            RefusalError: they do not, or are not.
        """
        ask = self.scores if self.function.traits.kind is Kind.MEAN else self.value
        first, again = ask(self.all, self.all), ask(self.all, self.all)
        if not _same(first, again).all():
            raise self.function.refusal(
                f"is not deterministic: asked twice it gives {_differing(first, again)}. Seed "
                "whatever is random in it."
            )
        if self.function.traits.kind is not Kind.MEAN or self.n < 2:  # noqa: PLR2004 (halves)
            return
        half = self.all[: self.n // 2]
        alone, together = ask(half, half), np.atleast_1d(first)[: len(half)]
        if not _same(alone, together).all():
            raise self.function.refusal(
                "does not judge each sample by itself: asked about fewer samples it gives "
                f"{_differing(together, alone)}. Say `NAME.aggregate = True` and give one number."
            )


def _worst(traits: Traits) -> float:
    bound = traits.low if traits.larger_is_better else traits.high
    if np.isfinite(bound):
        return bound
    return -LOST_ERROR if traits.larger_is_better else LOST_ERROR


def _same(first: float | np.ndarray, second: float | np.ndarray) -> np.ndarray:
    one, other = np.atleast_1d(first), np.atleast_1d(second)
    same = np.isclose(one, other, rtol=_RELATIVE, atol=_ABSOLUTE, equal_nan=True)
    return np.asarray(same)


def _differing(first: float | np.ndarray, second: float | np.ndarray) -> str:
    one, other = np.atleast_1d(first), np.atleast_1d(second)
    row = int(np.flatnonzero(~_same(one, other))[0])
    where = f" for sample {row}" if len(one) > 1 else ""
    return f"{one[row]:g} and {other[row]:g}{where}"


def _kind(found: np.ndarray) -> str:
    if found.ndim == 0:
        value = found.item()
        name = type(value).__name__
        return "None" if value is None else f"one {name}"
    return f"an array of shape {list(found.shape)} and dtype {found.dtype}"


def _told(error: BaseException, entry: str) -> str:
    """What was raised, where in the user's file, and what holds it where that may be the cause."""
    words = " ".join(f"{type(error).__name__}: {error}".split())[:_WORDS]
    file = entry_point.basename(entry)
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if Path(frame.filename).name == file]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    where = f" (line {lines[-1]} of {file})" if lines and lines[-1] else ""
    rules = f" {_RULES}" if isinstance(error, PermissionError | ConnectionError) else ""
    return f"{words}{where}.{rules}"
