"""The report as a few lines of GitHub-flavoured Markdown for a pull request.

Text of the model and of children is untrusted: what Markdown would act on is escaped, so that no
name becomes a link, an image, HTML, a mention of a person or a row of the table.
"""

import re

from tightship.report import figures
from tightship.report.document import ORIGINAL, Entry, Report
from tightship.report.markup import visible
from tightship.report.page import objective

_ACTIVE = re.compile(r"([\\`*_\[\]()<>|~#&!])")
_LINK = re.compile(r"(://|\bwww\.|@)", re.IGNORECASE)
_BLOCK = re.compile(r"^(\d*)([-+=.)])")  # what begins a list or underlines a heading
_UNSEEN = "\u200b"  # between the halves of what GitHub would make a link or a mention
_REASON_MAX = 160
_ROWS_MAX = 10
_WARNINGS_MAX = 3


def text(value: str, limit: int = _REASON_MAX) -> str:
    """Untrusted text as inline Markdown that shows just that text, cut where it is long."""
    shown = visible(value).strip()
    cut = shown if len(shown) <= limit else f"{shown[: limit - 1]}…"
    inline = _BLOCK.sub(r"\1\\\2", _ACTIVE.sub(r"\\\1", cut))
    return _LINK.sub(lambda found: _parted(found[1]), inline)


def _parted(sign: str) -> str:
    return f"{sign}{_UNSEEN}" if sign == "@" else f"{sign[:-1]}{_UNSEEN}{sign[-1]}"


def markdown(report: Report) -> str:
    """At most 25 lines; the same report gives the same text."""
    found = [
        f"### Tightship: {text(report.variant)} {_speed(report)}",
        "",
        text(report.reason, 400),
        "",
        *_table(report),
        "",
        *_footer(report),
    ]
    return "\n".join(found) + "\n"


def _speed(report: Report) -> str:
    chosen = report.chosen
    if chosen is None:
        return "is served unchanged"
    return f"is {figures.ratio(chosen.speedup)} as fast"


def _table(report: Report) -> list[str]:
    gate = report.gate
    entries = sorted(report.candidates, key=lambda entry: not entry.chosen)
    original = (ORIGINAL, "", figures.ratio(1.0), figures.number(report.baseline))
    rows = [
        f"| candidate | status | speed-up | {text(gate.metric)} | size | why not |",
        "|---|---|--:|--:|--:|---|",
        f"| {' | '.join((*original, figures.size(report.size)))} | |",
        *(_row(entry) for entry in entries[:_ROWS_MAX]),
    ]
    if len(entries) > _ROWS_MAX:
        rows.append(f"| {len(entries) - _ROWS_MAX} more | | | | | see report.json |")
    return rows


def _row(entry: Entry) -> str:
    name = f"**{text(entry.id)}**" if entry.chosen else text(entry.id)
    metric = figures.number(entry.gate.after if entry.gate else None)
    cells = (
        name,
        text(entry.status),
        figures.ratio(entry.speedup),
        metric,
        figures.size(entry.bytes),
        text(entry.reason),
    )
    return f"| {' | '.join(cells)} |"


def _footer(report: Report) -> list[str]:
    where = "proven in Triton" if report.proven else "**not proven in Triton**"
    samples, wished = report.gate.samples or 0, objective(report)
    told = f"Gate: {text(figures.allowed(report.gate))}; {samples} samples; {where}."
    if wished:
        told += f" Objective: {text(wished)}."
    found = [told, ""] if report.warnings else [told]
    found += [f"- {text(warning)}" for warning in report.warnings[:_WARNINGS_MAX]]
    if len(report.warnings) > _WARNINGS_MAX:
        found.append(f"- {len(report.warnings) - _WARNINGS_MAX} more warnings in report.json")
    return found
