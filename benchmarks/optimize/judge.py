"""How answers compare with the original's: by the project's own metrics and its own gate."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tightship.api.v1alpha1 import Metric
from tightship.optimize.gate import verdict
from tightship.optimize.gate.verdict import Demands, Verdict
from tightship.optimize.metrics import registry
from tightship.optimize.metrics.base import Traits, Truth

DEMANDS = Demands(max_drop=0.01, confidence=0.95)
_NOT_INPUTS = frozenset({"labels", "charset"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Judge:
    """The labels of one model's evaluation data, and the original's answers, by output."""

    metric: Metric
    truth: Truth
    outputs: tuple[str, ...]
    reference: dict[str, np.ndarray]

    @property
    def traits(self) -> Traits:
        """Of the metric."""
        return registry.traits(self.metric)

    def verdict(self, answers: Sequence[np.ndarray]) -> Verdict:
        """The paired verdict of the gate on a variant's answers.

        Raises:
            ValueError: they have other shapes than the original's.
        """
        named = dict(zip(self.outputs, answers, strict=True))
        for name, wanted in self.reference.items():
            if named[name].shape != wanted.shape:
                raise ValueError(f"output '{name}' has shape {list(named[name].shape)}")
        before, after = (
            registry.judge(self.metric, self.truth, self.reference, found)
            for found in (self.reference, named)
        )
        return verdict.judge(self.traits, before, after, DEMANDS)


def judge(
    metric: Metric, evaluation: Path, outputs: Sequence[str], reference: Sequence[np.ndarray]
) -> Judge:
    """What the evaluation file has to judge by."""
    with np.load(evaluation) as file:
        charset = tuple(file["charset"].tolist()) if "charset" in file else None
        truth = Truth(labels=file["labels"], charset=charset, positive_class=None)
    return Judge(
        metric=metric,
        truth=registry.check(metric, truth),
        outputs=tuple(outputs),
        reference=dict(zip(outputs, reference, strict=True)),
    )


def split_inputs(evaluation: Path, inputs: Path, some: Path, count: int) -> None:
    """Writes the evaluation's inputs without labels, and the first `count` samples of them."""
    with np.load(evaluation) as file:
        arrays = {name: file[name] for name in file.files if name not in _NOT_INPUTS}
    np.savez(inputs, **arrays)
    np.savez(some, **{name: array[:count] for name, array in arrays.items()})
