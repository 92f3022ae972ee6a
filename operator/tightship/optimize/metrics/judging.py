"""What a user's own metric finds in the answers of one or two models; runs in a confined child."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tightship.optimize.data import Dataset
from tightship.optimize.failures import RefusalError
from tightship.optimize.gate import bootstrap, score
from tightship.optimize.metrics import function
from tightship.optimize.metrics.base import Kind, size_biased
from tightship.optimize.metrics.function import Calls

_SEED = 1
_SPOILED = 50  # times that some answers are given to other samples
_SHUFFLED = 20
_SURE = 0.999
_UNDEFINED_MAX = 0.1  # share of resamples of which an aggregate may say nothing
_SHARE_OF_TIME = 0.8


def task(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Child's entry: {folder, entry, better, labels, answers, z, checks, resamples, seconds}.

    The result is {found}, which has for each of the `answers` {value, scores, resampled, lost,
    share}: without scores for an aggregate, `lost` is what a share of the samples costs whose
    answers are lost.
    """
    made = function.load(payload)
    labels = Dataset.load(Path(payload["labels"])).labels
    if labels is None:
        raise ValueError("labels are always given")
    found = []
    for folder in payload["answers"]:
        calls = Calls(made, dict(Dataset.load(Path(folder)).arrays), labels)
        if payload["checks"]:
            calls.check_repeats()
        judge = _aggregate if made.traits.kind is Kind.RESAMPLED else _scores
        found.append(judge(calls, payload))
    return {"found": found}


def _scores(calls: Calls, payload: Mapping[str, Any]) -> dict[str, Any]:
    traits = calls.function.traits
    scores = calls.scores(calls.all, calls.all)
    moved = calls.scores(_cycle(calls.n, _SEED), calls.all)
    if payload["checks"]:
        _check_scores(calls, scores, moved)
    whole = traits.high - traits.low
    lost = (
        whole
        if math.isfinite(whole)
        else size_biased(np.maximum(_costs(calls, scores, moved), 0.0))
    )
    return {"value": float(scores.mean()), "scores": scores.tolist(), "lost": lost}


def _costs(calls: Calls, scores: np.ndarray, moved: np.ndarray) -> np.ndarray:
    sign = 1.0 if calls.function.traits.larger_is_better else -1.0
    return np.asarray(sign * (scores - moved))


def _check_scores(calls: Calls, scores: np.ndarray, moved: np.ndarray) -> None:
    """That the metric tells right answers from those of other samples, and not the wrong way."""
    costs = _costs(calls, scores, moved)
    if not np.ptp(scores) and not costs.any():
        raise _blind(calls, float(scores[0]))
    if calls.n > 2 and score.bounds(float(costs.mean()), costs, 0.0, _SURE)[1] < 0:  # noqa: PLR2004
        raise _backwards(calls, float(scores.mean()), float(moved.mean()))


def _aggregate(calls: Calls, payload: Mapping[str, Any]) -> dict[str, Any]:
    traits, z = calls.function.traits, payload["z"]
    started = time.monotonic()
    value = calls.value(calls.all, calls.all)
    _check_time(calls, time.monotonic() - started, payload)
    if not math.isfinite(value):
        raise calls.function.refusal(f"gives {value} for all samples. Give a number.")
    share = max(1, math.ceil(calls.n * z * z / (calls.n + z * z))) / calls.n
    spoiled = [_spoiled(calls, share, number) for number in range(_SPOILED)]
    if payload["checks"]:
        _check_value(calls, value, spoiled)
    losses = [traits.loss(value, each) for each in spoiled if math.isfinite(each)]
    return {
        "value": value,
        "lost": max([*losses, 0.0]),
        "share": share,
        "resampled": _resampled(calls, payload["resamples"]),
    }


def _check_time(calls: Calls, seconds: float, payload: Mapping[str, Any]) -> None:
    times = (payload["resamples"] + _SPOILED) * len(payload["answers"])
    if payload["resamples"] and seconds * times > payload["seconds"] * _SHARE_OF_TIME:
        raise calls.function.refusal(
            f"takes {seconds:.2g} s for {calls.n} samples, too long for the {times} calls that "
            f"its confidence bound needs within {payload['seconds']:g} s. Make it faster, give "
            "fewer samples (maxSamples), or give one score a sample, which takes few calls."
        )


def _check_value(calls: Calls, value: float, spoiled: list[float]) -> None:
    shuffled = [
        calls.value(_cycle(calls.n, _SEED + number), calls.all) for number in range(_SHUFFLED)
    ]
    if all(each == value for each in (*shuffled, *spoiled)):
        raise _blind(calls, value)
    if all(calls.function.traits.loss(value, each) < 0 for each in shuffled):
        raise _backwards(calls, value, float(np.mean(shuffled)))


def _blind(calls: Calls, value: float) -> RefusalError:
    return calls.function.refusal(
        f"gives {value:g} for the model's answers, and the same when each sample gets the answer "
        "of another: it judges nothing. Let it compare `outputs` with `labels`."
    )


def _backwards(calls: Calls, value: float, shuffled: float) -> RefusalError:
    word = "larger" if calls.function.traits.larger_is_better else "smaller"
    return calls.function.refusal(
        f"gives {value:g} for the model's answers, and a better {shuffled:g} when each sample gets "
        f"the answer of another, where {word} is better. Set `larger_is_better` right, or check "
        "that the labels belong to the inputs."
    )


def _resampled(calls: Calls, resamples: int) -> list[float]:
    """The aggregate in each resample; NaN where it cannot be told there."""
    values, last = [], None
    for rows in bootstrap.rows(calls.n, resamples):
        try:
            value = calls.value(rows, rows)
        except RefusalError as refusal:
            value, last = math.nan, refusal
        values.append(value if math.isfinite(value) else math.nan)
    undefined = sum(map(math.isnan, values))
    if undefined > resamples * _UNDEFINED_MAX:
        cause = f": {last.message}" if last else ""
        raise calls.function.refusal(
            f"has no value in {undefined} of {resamples} random resamples of the samples, which "
            f"its confidence bound is made of{cause} Give more samples, or one score a sample."
        )
    return values


def _spoiled(calls: Calls, share: float, number: int) -> float:
    """The aggregate when a share of the samples get the answers of others."""
    drawn = np.random.default_rng([_SEED, number])
    rows = drawn.choice(calls.n, round(share * calls.n), replace=False)
    answers = calls.all.copy()
    answers[rows] = _cycle(calls.n, _SEED)[rows]
    return calls.value(answers, calls.all)


def _cycle(n: int, seed: int) -> np.ndarray:
    """An order in which no sample (of two or more) keeps its place."""
    order = np.random.default_rng(seed).permutation(n)
    moved = np.empty(n, np.int64)
    moved[order] = np.roll(order, 1)
    return moved
