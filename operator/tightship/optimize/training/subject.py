"""Loads a user's trainer and checks what it gives, so that each mistake is told in plain words."""

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from tightship.api.training import TrainingOptions
from tightship.optimize import entry as entry_point
from tightship.optimize.entry import TRAINER
from tightship.optimize.failures import RefusalError
from tightship.optimize.training import batches
from tightship.optimize.training.batches import Batches
from tightship.optimize.training.protocol import Batch, Replacement, Trainer

_DEMANDED = ("build", "train_data", "loss")
EXAMPLES = 8


def invalid(message: str) -> RefusalError:
    """A refusal of the trainer."""
    return TRAINER.refusal(message)


class Subject:
    """A trainer with its data: what all techniques work on."""

    def __init__(self, trainer: Trainer, options: TrainingOptions) -> None:
        self.trainer, self.options = trainer, options
        self._original: nn.Module | None = None
        self.train, self.validation = batches.split(trainer, options)
        self.examples = self._examples()
        self.classes = self._classes()

    def build(self) -> nn.Module:
        """A fresh copy of the original, for evaluation; what is changed in it changes no other.

        Raises:
            RefusalError: `build` gives no torch module.
        """
        if self._original is None:
            self._original = self.trainer.build()
        if not isinstance(self._original, nn.Module):
            kind = type(self._original).__name__
            raise invalid(f"gives a {kind} from build(); a torch.nn.Module is due")
        return copy.deepcopy(self._original).eval()

    def optional(self, name: str) -> Callable[..., Any] | None:
        """A method that a trainer may have."""
        found: Callable[..., Any] | None = getattr(self.trainer, name, None)
        return found

    def students(self) -> Mapping[str, Callable[[], nn.Module]]:
        """Students by name; none where the trainer names none."""
        made = self.optional("students")
        return made() if made else {}

    def blocks(self) -> Mapping[str, Mapping[str, Replacement]]:
        """Alternatives of blocks by name; none where the trainer names none."""
        made = self.optional("blocks")
        return made() if made else {}

    def _examples(self) -> Batch:
        """Distinct tensors: an export takes two names of one tensor for one input."""
        given = self.optional("example_inputs")
        taken = given() if given else batches.first(self.validation)[:-1]
        if isinstance(taken, Tensor):
            taken = (taken,)
        found = tuple(torch.as_tensor(each)[:EXAMPLES].clone() for each in taken)
        if not found or any(len(each) < 2 for each in found):  # noqa: PLR2004 (a batch axis)
            raise invalid("gives example inputs that are no batch of at least two samples")
        return found

    def _classes(self) -> bool:
        """Whether outputs are class scores: [samples, classes] for one whole number a sample."""
        *inputs, target = batches.first(self.validation)
        with torch.no_grad():
            outputs = self.build()(*inputs)
        return (
            isinstance(outputs, Tensor)
            and outputs.ndim == 2  # noqa: PLR2004 (samples, classes)
            and target.ndim == 1
            and not (target.is_floating_point() or target.is_complex())
            and outputs.shape[1] > 1
        )

    @property
    def batches(self) -> tuple[Batches, Batches]:
        """Of training and of validation."""
        return self.train, self.validation


def load(folder: Path, entry: str, options: TrainingOptions) -> Subject:
    """The trainer of FILE.py:NAME or MODULE:NAME below `folder`.

    Raises:
        RefusalError: there is no such file or name, or it does not follow the protocol.
        Exception: whatever the user's code raises.
    """
    torch.manual_seed(options.seed)
    return Subject(_checked(_made(entry_point.load(TRAINER, folder, entry)), entry), options)


def _made(found: Any) -> Any:  # noqa: ANN401 (a user's object)
    if isinstance(found, type) or (callable(found) and not hasattr(found, "build")):
        return found()
    return found


def _checked(found: Any, entry: str) -> Trainer:  # noqa: ANN401 (a user's object)
    lacking = [name for name in _DEMANDED if not callable(getattr(found, name, None))]
    if lacking:
        raise invalid(f"{entry} lacks {', '.join(f'{name}()' for name in lacking)}")
    return cast("Trainer", found)
