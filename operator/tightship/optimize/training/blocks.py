"""Blocks replaced by alternatives that the user's trainer names."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from tightship.optimize.training.proposal import Made, Proposal, named, parameters
from tightship.optimize.training.subject import Subject, invalid


def propose(subject: Subject) -> Sequence[Proposal]:
    """One candidate for each set of alternatives."""
    return [
        Proposal(id=f"blocks-{named(name)}", params={"name": name}) for name in subject.blocks()
    ]


def apply(subject: Subject, params: Mapping[str, Any]) -> Made:
    """The original with the alternatives of that name in place.

    Raises:
        RefusalError: a path is not of this model, or an alternative is no module.
    """
    model = subject.build()
    before = parameters(model)
    for path, replacement in subject.blocks()[params["name"]].items():
        try:
            old = model.get_submodule(path)
        except AttributeError as error:
            raise invalid(f"replaces '{path}', which its model does not have") from error
        new = replacement(old)
        if not isinstance(new, nn.Module) or not path:
            raise invalid(f"gives a {type(new).__name__} in the place of '{path}'")
        model.set_submodule(path, new)
    share = parameters(model) / before
    return Made(model=model, coverage={"parameterShare": share})
