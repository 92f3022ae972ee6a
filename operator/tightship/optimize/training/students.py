"""Students that the user's trainer names, taught by the original."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from tightship.optimize.training.loop import seeded
from tightship.optimize.training.proposal import Made, Proposal, named, parameters
from tightship.optimize.training.subject import Subject, invalid


def propose(subject: Subject) -> Sequence[Proposal]:
    """One candidate for each student."""
    return [
        Proposal(id=f"student-{named(name)}", params={"name": name}) for name in subject.students()
    ]


def apply(subject: Subject, params: Mapping[str, Any]) -> Made:
    """The student of that name, its weights drawn by the seed.

    Raises:
        RefusalError: it is no module.
    """
    seeded(subject.options)
    model = subject.students()[params["name"]]()
    if not isinstance(model, nn.Module):
        raise invalid(f"gives a {type(model).__name__} as student '{params['name']}'")
    share = parameters(model) / max(1, parameters(subject.build()))
    return Made(model=model, coverage={"parameterShare": share})
