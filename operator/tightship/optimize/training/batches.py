"""A trainer's data as batches: a data set shuffled by seed, or the user's own batches as they are.

A TensorDataset is cut by index, many times faster than sample by sample.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol, cast

import torch
from torch.utils.data import DataLoader, Subset, TensorDataset, random_split

from tightship.api.training import TrainingOptions
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.training.protocol import Batch, Trainer

BATCH_SIZE = 64
HELD_OUT = 0.15
_LEAST = 2  # inputs and a target


class Batches(Protocol):
    """Batches that can be gone through again and again."""

    def __iter__(self) -> Iterator[Batch]: ...

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Cut:
    """Batches of whole tensors; shuffled anew each time where a generator is given."""

    tensors: Batch
    size: int
    generator: torch.Generator | None

    def __len__(self) -> int:
        return math.ceil(len(self.tensors[0]) / self.size)

    def __iter__(self) -> Iterator[Batch]:
        count = len(self.tensors[0])
        shuffled = self.generator is not None
        order = torch.randperm(count, generator=self.generator) if shuffled else torch.arange(count)
        for rows in order.split(self.size):
            yield tuple(tensor[rows] for tensor in self.tensors)


def split(trainer: Trainer, options: TrainingOptions) -> tuple[Batches, Batches]:
    """Batches to train on and to validate on.

    Raises:
        RefusalError: the data have no form of the protocol, or are of no length.
    """
    data = trainer.train_data()
    given = getattr(trainer, "validation_data", None)
    if given is not None:
        return _batches(data, options, shuffled=True), _batches(given(), options, shuffled=False)
    if not _is_dataset(data):
        raise _invalid(
            "gives ready batches and no validation_data(); give it, or a data set, of which "
            f"{HELD_OUT:.0%} are then held out"
        )
    generator = torch.Generator().manual_seed(options.seed)
    kept, held = random_split(data, [1 - HELD_OUT, HELD_OUT], generator)
    return _batches(kept, options, shuffled=True), _batches(held, options, shuffled=False)


def first(found: Batches) -> Batch:
    """The first batch."""
    return next(iter(found))


def _is_dataset(data: Any) -> bool:  # noqa: ANN401 (a user's object)
    return hasattr(data, "__getitem__") and hasattr(data, "__len__")


def _batches(data: Any, options: TrainingOptions, *, shuffled: bool) -> Batches:  # noqa: ANN401
    if not _is_dataset(data):
        return _ready(data, options)
    if not len(data):
        raise _invalid("gives a data set without samples")
    size = options.batch_size or BATCH_SIZE
    generator = torch.Generator().manual_seed(options.seed) if shuffled else None
    tensors = _tensors(data)
    if tensors is not None:
        return _checked(Cut(tensors, size, generator))
    loader = DataLoader(data, batch_size=size, shuffle=shuffled, generator=generator)
    return _checked(cast("Batches", loader))


def _tensors(data: Any) -> Batch | None:  # noqa: ANN401 (a user's object)
    if type(data) is TensorDataset:
        return tuple(data.tensors)
    if type(data) is Subset and type(data.dataset) is TensorDataset:
        return tuple(tensor[list(data.indices)] for tensor in data.dataset.tensors)
    return None


def _ready(data: Any, options: TrainingOptions) -> Batches:  # noqa: ANN401 (a user's object)
    if not hasattr(data, "__iter__") or iter(data) is data:
        raise _invalid(
            f"gives data as {type(data).__name__}, which is neither a data set nor an iterable of "
            "batches that can be read more than once"
        )
    if not hasattr(data, "__len__"):
        raise _invalid("gives batches without a length; add __len__")
    if options.batch_size is not None:
        raise _invalid("gives ready batches, so that a batch size cannot be asked for")
    return _checked(cast("Batches", data))


def _checked(found: Batches) -> Batches:
    if not len(found):
        raise _invalid("gives no batch")
    batch: Any = first(found)
    if not isinstance(batch, tuple | list) or len(batch) < _LEAST:
        raise _invalid("gives samples that are not (inputs..., target)")
    if not all(isinstance(each, torch.Tensor) for each in batch):
        raise _invalid("gives batches that are not made of tensors alone")
    return found


def _invalid(message: str) -> RefusalError:
    return RefusalError(Reason.INVALID_TRAINER, f"The trainer {message}")
