"""Candidates that are trained with the user's trainer; each followed by int8 where it can be.

What can be trained is found by `optimize.training`, which alone imports torch.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tightship.api.training import CHANNELS, STUDENTS, ZEROS
from tightship.optimize.techniques import (
    ARCHITECTURE,
    DISTILL,
    PRUNE,
    QUANTIZE,
    Applied,
    Facts,
    Ineligible,
    Material,
    Pass,
    Recipe,
    dynamic_int8,
    static_int8,
)

NAME = "trained"
_TECHNIQUE = "technique"
_KINDS = {CHANNELS: PRUNE, ZEROS: PRUNE, STUDENTS: DISTILL}
_SLOW = "zeros bring no speed on this runtime, which multiplies them like any other number"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


def propose(facts: Facts) -> Sequence[Recipe | Ineligible]:
    """What the trainer can make of the model; nothing without a trainer."""
    return [found for proposal in facts.trained for found in _proposed(proposal, facts)]


def space(facts: Facts) -> None:
    """Nothing: each setting would be trained for minutes, and the trainer's owner names them."""
    del facts


def _proposed(proposal: Mapping[str, Any], facts: Facts) -> list[Recipe | Ineligible]:
    name, kind = str(proposal["id"]), str(proposal[_TECHNIQUE])
    technique = _KINDS.get(kind, ARCHITECTURE)
    if not _ID.fullmatch(name):  # it becomes a folder's name, and comes from the user's code
        return []
    if proposal["reason"]:
        return [Ineligible(id=name, technique=technique, reason=str(proposal["reason"]))]
    training = Pass(NAME, {_TECHNIQUE: kind, **proposal["params"]})
    if kind == ZEROS:
        return [Recipe(id=name, technique=technique, passes=(training,), slow=_SLOW, zeros=True)]
    found: list[Recipe | Ineligible] = [Recipe(id=name, technique=technique, passes=(training,))]
    for quantizer in (static_int8, dynamic_int8):
        if quantizer.refusal(facts) is None:
            both = (training, quantizer.step(facts))
            full, joined = f"{name}+{quantizer.ID}", f"{technique}+{QUANTIZE}"
            return [*found, Recipe(id=full, technique=joined, passes=both, after=name)]
    return found


def trains(recipe: Recipe) -> bool:
    """Whether building it trains: what builds on a trained candidate takes its file."""
    return recipe.after is None and any(step.name == NAME for step in recipe.passes)


def apply(source: Path, target: Path, params: Mapping[str, Any], material: Material) -> Applied:
    """Train and export; the given file serves as the contract only.

    Raises:
        ValueError: there is no trainer.
        RefusalError: the trainer or the changed model is not usable.
    """
    from tightship.optimize.training import work  # noqa: PLC0415 (torch is an extra)

    del source
    if material.trainer is None:
        raise ValueError("there is no trainer to train with")
    kept = {key: value for key, value in params.items() if key != _TECHNIQUE}
    setup = work.Setup(**material.trainer)
    notes, coverage = work.train(setup, params[_TECHNIQUE], kept, material.contract, target)
    return Applied(notes=notes, coverage=coverage)
