"""Whether a recipe is still worth building, by what became of those that it refers to. Pure."""

from collections.abc import Mapping

from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.racing import LOOK_MARGIN
from tightship.optimize.techniques import Recipe, Spoilt

_SPOILT = {
    Status.SMOKE_FAILED: Spoilt.ACCURACY,
    Status.GATE_FAILED: Spoilt.ACCURACY,
    Status.TOO_SLOW: Spoilt.SPEED,
}


def needless(recipe: Recipe, tried: Mapping[str, Candidate], least: float) -> str:
    """Why a recipe is not worth building; empty when it is.

    `tried` holds those before it, `least` is the speed-up that is asked of a candidate: one whose
    quick look is no more than that, as far as a quick look can tell, counts as too slow here.
    """
    if recipe.after is not None:
        before = tried[recipe.after]
        return "" if before.alive else f"{before.id} alone is refused already: {before.reason}"
    doubted = Spoilt.SPEED in recipe.repairs
    for name in recipe.unless:
        if name in tried and tried[name].alive and not (doubted and _doubtful(tried[name], least)):
            return f"{name} passed, so there is nothing to repair"
    return _unrepaired(recipe, tried[recipe.unless[0]]) if recipe.unless else ""


def _doubtful(plain: Candidate, least: float) -> bool:
    """Whether it passed the quick look by no more than what that may be wrong by."""
    return plain.look is not None and plain.look < least * LOOK_MARGIN


def _unrepaired(recipe: Recipe, plain: Candidate) -> str:
    spoilt = Spoilt.SPEED if plain.alive else _SPOILT.get(plain.status)
    if spoilt in recipe.repairs:
        return ""
    if spoilt is Spoilt.SPEED:
        return f"{plain.id} is too slow, and this one computes as much"
    if spoilt is Spoilt.ACCURACY:
        return f"{plain.id} loses accuracy, which this one would not win back"
    return f"{plain.id}, of which it is a variant, was refused: {plain.reason}"
