"""Metrics of recognised text: character and word error rate by edit distance.

How answers become text: an output of text is the text; otherwise the first output of scores
[n, time, classes] is decoded greedily as CTC (A. Graves et al., ICML 2006, section 3.2: the best
class of each step, repetitions merged, blanks removed) with the `charset` of the evaluation file.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tightship.api.v1alpha1 import Metric
from tightship.optimize.data import invalid
from tightship.optimize.metrics.base import (
    Definition,
    Judged,
    Kind,
    Traits,
    Truth,
    linear,
    shapes,
    size_biased,
    unfit,
)
from tightship.optimize.runtime import Outputs

TEXT_MAX = 10_000  # characters of one reference
_STEPS = 3  # axes of recogniser scores
_TEXT = "USO"


def check(truth: Truth) -> Truth:
    """Labels as text, and of the charset at most one blank.

    Raises:
        RefusalError: no text, nothing but empty text, or text that is too long.
    """
    if truth.labels.ndim != 1 or truth.labels.dtype.kind not in "US":
        raise invalid(
            "evaluation",
            f"have labels of dtype {truth.labels.dtype} and {truth.labels.ndim} axes; give the "
            "right text of each sample, as fixed-width text (dtype U or S).",
        )
    labels = np.array(texts(truth.labels), np.str_)
    lengths = np.char.str_len(labels)
    if not lengths.any():
        raise invalid("evaluation", "have labels that are all empty; give the right texts.")
    if lengths.max() > TEXT_MAX:
        raise invalid(
            "evaluation", f"have a label of {lengths.max()} characters; up to {TEXT_MAX} are taken."
        )
    if truth.charset is not None and truth.charset.count("") != 1:
        raise invalid(
            "evaluation",
            f"have a charset with {truth.charset.count('')} empty entries; exactly one, the blank "
            "of CTC, must be the empty text.",
        )
    return replace(truth, labels=labels)


def check_words(truth: Truth) -> Truth:
    """The same, and some reference has a word.

    Raises:
        RefusalError: as `check`, or nothing but blanks.
    """
    checked = check(truth)
    if not any(label.split() for label in checked.labels.tolist()):
        raise invalid("evaluation", "have labels without a single word; give the right texts.")
    return checked


def texts(array: np.ndarray) -> list[str]:
    """Text of each sample; Triton's bytes and the runtime's text alike."""
    flat = array.reshape(len(array), -1)[:, 0]
    return [
        value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
        for value in flat.tolist()
    ]


def decoded(outputs: Outputs, truth: Truth, metric: Metric) -> list[str]:
    """The text that the model answers for each sample.

    Raises:
        RefusalError: no output is text or [n, time, classes], or the charset does not fit.
    """
    n = len(truth.labels)
    for values in outputs.values():
        if values.dtype.kind in _TEXT and values.size == n:
            return texts(values)
    for values in outputs.values():
        if values.dtype.kind == "f" and values.ndim == _STEPS:
            return _ctc(values, _fitting(truth.charset, values.shape[2], metric))
    reason = f"no output is text or scores [n, time, classes], they are {shapes(outputs)}."
    raise unfit(metric, reason)


def _fitting(charset: tuple[str, ...] | None, classes: int, metric: Metric) -> tuple[str, ...]:
    if charset is None:
        raise invalid(
            "evaluation",
            f"lack the array 'charset', which {metric.value} needs to turn scores into text: the "
            f"text of each of the model's {classes} classes, empty for the blank.",
        )
    if len(charset) != classes:
        raise invalid(
            "evaluation",
            f"have a charset of {len(charset)} entries for a model of {classes} classes; give "
            "one for each class, in the model's order, empty for the blank.",
        )
    return charset


def _ctc(scores: np.ndarray, charset: Sequence[str]) -> list[str]:
    """Greedy decoding; a sample whose scores are not all finite has no text."""
    finite = np.isfinite(scores).all(axis=(1, 2))
    best = np.where(np.isfinite(scores), scores, -np.inf).argmax(axis=2)
    first = np.ones_like(best, bool)
    first[:, 1:] = best[:, 1:] != best[:, :-1]
    return [
        "".join(charset[index] for index in row[kept].tolist()) if sound else ""
        for row, kept, sound in zip(best, first, finite.tolist(), strict=True)
    ]


def distance(first: Sequence[object], second: Sequence[object]) -> int:
    """Levenshtein's edit distance: insertions, deletions and substitutions, each of cost 1.

    Row by row (R. A. Wagner and M. J. Fischer, Journal of the ACM 21:168-173, 1974); within a row
    insertions run along, so that a running minimum of cost - index gives them all at once.
    """
    numbers = {item: index for index, item in enumerate(dict.fromkeys([*first, *second]))}
    other = np.array([numbers[item] for item in second], np.int64)
    index = np.arange(len(other) + 1)
    row = index.copy()
    for item in first:
        changed = row[:-1] + (other != numbers[item])
        row = np.concatenate(([row[0] + 1], np.minimum(row[1:] + 1, changed)))
        row = np.minimum.accumulate(row - index) + index
    return int(row[-1])


def cer(outputs: Outputs, truth: Truth) -> Judged:
    """Edits over all samples, by character, over the characters of all references."""
    answers = decoded(outputs, truth, Metric.CER)
    return _rate(list(answers), truth.labels.tolist())


def wer(outputs: Outputs, truth: Truth) -> Judged:
    """Edits over all samples, by word, over the words of all references."""
    answers = decoded(outputs, truth, Metric.WER)
    words = [label.split() for label in truth.labels.tolist()]
    return _rate([answer.split() for answer in answers], words)


def _rate(answers: Sequence[Sequence[object]], references: Sequence[Sequence[object]]) -> Judged:
    pairs = zip(answers, references, strict=True)
    edits = np.array([distance(reference, answer) for answer, reference in pairs], np.float64)
    return rate(edits, np.array([len(reference) for reference in references], np.float64))


def rate(edits: np.ndarray, lengths: np.ndarray) -> Judged:
    """Edits over lengths, each of all samples together.

    Not a mean of samples but a ratio of two: its influence is (edits - rate * length) / mean
    length (W. G. Cochran, Sampling Techniques, 3rd edition, 1977, section 2.11). A lost sample
    costs its whole length.
    """
    if not lengths.any():
        return Judged(value=math.nan, parts=edits, unseen=linear(1.0))
    value, mean = float(edits.sum() / lengths.sum()), float(lengths.mean())
    parts = value + (edits - value * lengths) / mean
    return Judged(value=value, parts=parts, unseen=linear(size_biased(lengths) / mean))


DEFINITIONS = {
    Metric.CER: Definition(
        traits=Traits(
            name="cer",
            unit="edits per character",
            kind=Kind.INFLUENCE,
            high=math.inf,
            source="ratio of sums (Cochran 1977)",
            larger_is_better=False,
            counted=False,
        ),
        check=check,
        judge=cer,
    ),
    Metric.WER: Definition(
        traits=Traits(
            name="wer",
            unit="edits per word",
            kind=Kind.INFLUENCE,
            high=math.inf,
            source="ratio of sums (Cochran 1977)",
            larger_is_better=False,
            counted=False,
        ),
        check=check_words,
        judge=wer,
    ),
}
