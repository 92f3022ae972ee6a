"""Reports for property tests: every text and number replaced by one that nobody expects."""

import copy
import json
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

from hypothesis import strategies

HERE = Path(__file__).parent
FREE_NUMBERS = strategies.one_of(
    strategies.integers(min_value=-(10**18), max_value=10**18),
    strategies.floats(allow_nan=False, allow_infinity=False),
)
HOSTILE = strategies.one_of(
    strategies.sampled_from(
        [
            "<script>alert(1)</script>",
            "</style><img src=x onerror=alert(1)>",
            "\" onload='x' a=\"",
            "</title>",
            "]]>",
            "&lt;b&gt;",
            "| a | b |",
            "![x](https://example.org/x.png)",
            "@everybody https://example.org www.example.org",
            "a\n\n# b",
            "\u202eevil\u200b\ud800\x00",
            "```",
            "",
        ]
    ),
    strategies.text(strategies.characters(), max_size=40),
)
TEXTS = strategies.lists(HOSTILE, min_size=1, max_size=9)
NUMBERS = strategies.lists(FREE_NUMBERS, min_size=1, max_size=13)
_FIXED = ("schema",)


def stored(name: str) -> dict[str, Any]:
    """A stored report."""
    found: dict[str, Any] = json.loads((HERE / "reports" / f"{name}.json").read_text())
    return found


def replaced(report: dict[str, Any], new: Callable[[Any], Any]) -> dict[str, Any]:
    """A copy in which every leaf but the schema is what `new` makes of it."""
    found: dict[str, Any] = _replaced(copy.deepcopy(report), new)
    return {**found, **{name: report[name] for name in _FIXED}}


def retold(report: dict[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """A copy in which the texts take turns in the place of every string."""
    turns = cycle(texts)
    return replaced(report, lambda value: next(turns) if isinstance(value, str) else value)


def renumbered(report: dict[str, Any], numbers: Sequence[float]) -> dict[str, Any]:
    """A copy in which the numbers take turns in the place of every number."""
    turns = cycle(numbers)

    def new(value: object) -> object:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return next(turns) if number else value

    return replaced(report, new)


def _replaced(value: Any, new: Callable[[Any], Any]) -> Any:  # noqa: ANN401 (any JSON value)
    if isinstance(value, dict):
        return {key: _replaced(item, new) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, new) for item in value]
    return new(value)
