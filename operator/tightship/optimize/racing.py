"""Who is so far behind in the quick look that timing would not bring it to the front. Pure."""

from collections.abc import Mapping

LOOK_MARGIN = 1.08
"""What a quick look may be wrong by, as a factor."""

KEPT = 4
"""So many of the fastest are always timed, for Triton may refuse the first of them."""

REACH = 0.7
"""Share of the fastest one's speed-up above which everybody is timed.

It covers the errors of two quick looks generously.
"""


def outpaced(looks: Mapping[str, float]) -> dict[str, str]:
    """Candidates that need no timing, each with the reason. `looks` are speed-ups at batch 1."""
    ranked = sorted(looks, key=lambda name: (-looks[name], name))
    return {
        name: (
            f"x{looks[name]:.2f} in a quick look, in which {ranked[0]} had "
            f"x{looks[ranked[0]]:.2f}: only those that came near it were timed"
        )
        for name in ranked[KEPT:]
        if looks[name] < REACH * looks[ranked[0]]
    }
