"""The answer as text in columns, for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightship.report.markup import visible
from tightship.whatif import wording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tightship.whatif.outlook import Outlook

_GAP = "  "
_FIGURES = frozenset({"rate/s", "copies", "batch", "delay", "p99", "duty", "memory", "of"})


def table(outlook: Outlook) -> str:
    """The whole answer; the same one gives the same text."""
    parts = [
        [wording.summary(outlook)],
        _columns(wording.SERVER_HEADINGS, [wording.server(each) for each in outlook.servers]),
        _columns(wording.MODEL_HEADINGS, [wording.model(each) for each in outlook.models]),
        [f"{m.name} {wording.verdict(m)}: {m.told}" for m in outlook.models if m.told],
        [wording.limit(each) for each in outlook.limits],
    ]
    if outlook.changes is not None:
        parts.append(["To get there from what runs now:"])
        parts[-1] += [f"{_GAP}{line}" for line in wording.changes(outlook.changes)]
    parts.append([f"note: {note}" for note in outlook.notes])
    return "\n".join("\n".join(part) + "\n" for part in parts if part)


def _columns(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    every = [[visible(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    right = [heading in _FIGURES for heading in headings]
    return [
        _GAP.join(
            cell.rjust(width) if figure else cell.ljust(width)
            for cell, width, figure in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in every
    ]
