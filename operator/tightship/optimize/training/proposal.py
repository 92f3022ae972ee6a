"""What the training techniques share: proposals, and what a technique makes of the original."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import nn

from tightship.optimize.training.subject import Subject, invalid

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """A candidate to train; or with a `reason`, why it is not."""

    id: str
    params: Mapping[str, Any] = field(default_factory=dict)
    reason: str = ""


def _nothing() -> None:
    """No mask to hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A module to train; `after_step` holds masks, `coverage` is for the report."""

    model: nn.Module
    after_step: Callable[[], None] = _nothing
    notes: tuple[str, ...] = ()
    coverage: Mapping[str, float] = field(default_factory=dict)


class Technique(Protocol):
    """The interface of a module that trains: as that of `optimize.techniques`, on a module."""

    def propose(self, subject: Subject) -> Sequence[Proposal]:
        """Candidates for this model."""
        ...

    def apply(self, subject: Subject, params: Mapping[str, Any]) -> Made:
        """The changed model, before it is trained."""
        ...


def named(name: object) -> str:
    """A user's name for a candidate.

    Raises:
        RefusalError: it does not fit into an identifier.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise invalid(f"names a candidate {name!r}; up to 40 letters, digits, '.', '-', '_' fit")
    return name


def parameters(model: nn.Module) -> int:
    """How many numbers the model has learned."""
    return sum(parameter.numel() for parameter in model.parameters())
