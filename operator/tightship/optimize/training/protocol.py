"""The protocol of a trainer: what a user's code gives, so that a model can be trained again.

NAME in `--trainer FILE.py:NAME` is an object with these methods, or a class or function that makes
one without arguments. Only `Trainer` is demanded; each method of `Optional` is used where it is
there.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from torch import Tensor, nn

Batch = tuple[Tensor, ...]
"""Inputs in the order of the model's `forward`, then the target; each with the batch first."""

Replacement = Callable[[nn.Module], nn.Module]
"""Makes what stands in a module's place, from the module as it is."""


class Trainer(Protocol):
    """What every trainer has."""

    def build(self) -> nn.Module:
        """The trained model, with its weights: the one that was exported to the ONNX file."""
        ...

    def train_data(self) -> Any:  # noqa: ANN401 (torch has no common type of the two)
        """A data set of (inputs..., target) samples, or an iterable of ready batches.

        A data set has a length and `__getitem__`; it is shuffled and put into batches. Ready
        batches have a length too, and are gone through anew in each epoch: an iterator, which is
        read only once, is refused.
        """
        ...

    def loss(self, outputs: Any, target: Tensor) -> Tensor:  # noqa: ANN401 (as the model answers)
        """The task's loss of one batch, a single number."""
        ...


class Optional(Protocol):
    """What a trainer may have besides."""

    def validation_data(self) -> Any:  # noqa: ANN401 (as train_data)
        """Samples that are not trained on; without it a seeded 15 % of the training data set."""
        ...

    def metric(self, outputs: Any, target: Tensor) -> float:  # noqa: ANN401 (as the model answers)
        """What early stopping watches, over all validation samples; larger is better.

        Without it: the share of right classes where outputs are class scores, else minus the loss.
        """
        ...

    def example_inputs(self) -> Batch:
        """A batch of at least two inputs; without it the first validation samples."""
        ...

    def distance(self, outputs: Any, original: Any) -> Tensor:  # noqa: ANN401 (likewise)
        """How far answers are from the original's, for distillation.

        Without it: Kullback-Leibler at a temperature for class scores, else the mean square.
        """
        ...

    def students(self) -> Mapping[str, Callable[[], nn.Module]]:
        """Smaller models by name, to be trained by distillation from the original."""
        ...

    def blocks(self) -> Mapping[str, Mapping[str, Replacement]]:
        """Alternatives by name: what stands in the place of which module, by the module's path."""
        ...
