"""The placement map as SVG: a row for each server, its time and its memory divided among models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightship.plan.pack.feasibility import RHO_MAX
from tightship.report import figures, style
from tightship.report.markup import Markup, lines, tag
from tightship.whatif.outlook import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tightship.whatif.outlook import Outlook, ServerOutlook

ROWS_MAX = 60
"""Servers that are drawn; a reader takes the rest from the table."""

CSS = """
svg rect.free { fill: none; stroke: var(--rule); } svg rect.held { fill: var(--soft); }
svg rect.inside { stroke: var(--good); } svg rect.free-of-objective { stroke: var(--dim); }
svg rect.outside { stroke: var(--bad); stroke-width: 2; }
svg rect.unknown { stroke: var(--dim); stroke-dasharray: 3 3; }
svg text.start { text-anchor: start; }
""".strip()

_WIDTH, _LEFT, _RIGHT = 960.0, 190.0, 100.0
_TOP, _ROW, _TIME, _MEMORY = 30.0, 58.0, 28.0, 12.0
_LETTER, _PAD = 6.6, 4.0  # a letter's width, about, and what is kept free beside a name
_NAME_LEAST = 3  # letters below which a name says nothing
_SPAN = _WIDTH - _LEFT - _RIGHT
_CLASSES = {
    Verdict.INSIDE: "inside",
    Verdict.OUTSIDE: "outside",
    Verdict.WAITING: "outside",
    Verdict.NOT_MEASURED: "unknown",
    Verdict.NO_OBJECTIVE: "free-of-objective",
}


def svg(outlook: Outlook) -> Markup:
    """The whole picture; its description says what is on each server."""
    drawn = outlook.servers[:ROWS_MAX]
    height = _TOP + _ROW * max(1, len(drawn))
    verdicts = {model.name: model.verdict for model in outlook.models}
    told = "; ".join(f"{s.name}: {', '.join(held.model for held in s.models)}" for s in drawn)
    return tag(
        "svg",
        lines(
            tag("title", "Models on servers", id="map-title"),
            tag("desc", told, id="map-description"),
            _heads(),
            *(_row(server, index, verdicts) for index, server in enumerate(drawn)),
        ),
        viewBox=f"0 0 {_WIDTH:g} {height:g}",
        role="img",
        aria_labelledby="map-title map-description",
    )


def standalone(outlook: Outlook) -> Markup:
    """The picture as a file of its own, which brings its style along."""
    head, _, rest = svg(outlook).partition(">")
    sheet = tag("style", Markup(f"\n{style.CSS}\n{CSS}\n"))
    return Markup(f'{head} xmlns="http://www.w3.org/2000/svg">\n{sheet}{rest}')


def legend(outlook: Outlook) -> str:
    """What the picture shows, and what of it is left out."""
    more = len(outlook.servers) - ROWS_MAX
    left = f" {more} more servers are in the table alone." if more > 0 else ""
    return (
        "A row is a server: its time divided among its models, and below it, thin, its memory. "
        "Green: inside the objective. Red and thick: not. Dashed: not measured. Grey: no "
        "objective. The dashed red line is the most time that may be promised, "
        f"{RHO_MAX:.0%}.{left}"
    )


def _heads() -> Markup:
    return tag(
        "g",
        lines(
            _text(0, _TOP - 12, "server", "tick start"),
            _text(_LEFT, _TOP - 12, "time that is promised; memory below it", "tick start"),
            _text(_WIDTH, _TOP - 12, "time, memory", "tick end"),
        ),
    )


def _most(top: float) -> Markup:
    """The line of the most time that may be promised."""
    x = _LEFT + RHO_MAX * _SPAN
    ends = {"x1": x, "x2": x, "y1": top - 4, "y2": top + _TIME}
    return tag("line", **{key: f"{end:g}" for key, end in ends.items()}, class_="demand")


def _row(server: ServerOutlook, index: int, verdicts: Mapping[str, Verdict]) -> Markup:
    top = _TOP + index * _ROW
    share = server.memory / server.capacity if server.capacity else 0.0
    middle = top + _TIME / 2 + 4
    return tag(
        "g",
        lines(
            _text(0, middle, _fitting(server.name, _LEFT - 10), "name"),
            _rect(_LEFT, top, _SPAN, _TIME, "free"),
            _rect(_LEFT, top + _TIME + 3, _SPAN, _MEMORY, "free"),
            *_segments(server, top, verdicts),
            _most(top),
            _text(_WIDTH, middle, f"{server.duty:.0%}, {share:.0%}", "end"),
        ),
    )


def _segments(
    server: ServerOutlook, top: float, verdicts: Mapping[str, Verdict]
) -> Sequence[Markup]:
    """Models in the order of their names, as wide as the time and the memory that they take."""
    found, time, memory = [], _LEFT, _LEFT
    for held in server.models:
        long = min(held.duty, 1.0) * _SPAN
        wide = held.memory / server.capacity * _SPAN if server.capacity else 0.0
        class_ = f"held {_CLASSES[verdicts[held.model]]}"
        told = (
            f"{held.model} on {server.name}: {held.duty:.1%} of its time, "
            f"{figures.size(held.memory)}"
        )
        parts = [
            tag("title", told),
            _rect(time, top, long, _TIME, class_),
            _rect(memory, top + _TIME + 3, wide, _MEMORY, class_),
        ]
        short = _fitting(held.model, long - 2 * _PAD)
        if short:
            parts.append(_text(time + _PAD, top + _TIME / 2 + 4, short, "name"))
        found.append(tag("g", *parts, class_="mark"))
        time, memory = time + long, memory + wide
    return found


def _fitting(name: str, width: float) -> str:
    """As much of a name as fits; nothing where that says nothing."""
    most = int(width / _LETTER)
    if len(name) <= most:
        return name
    return f"{name[: most - 1]}…" if most >= _NAME_LEAST else ""


def _rect(x: float, y: float, width: float, height: float, class_: str) -> Markup:
    sizes = {"x": x, "y": y, "width": max(0.0, width), "height": height}
    return tag("rect", **{key: f"{size:g}" for key, size in sizes.items()}, class_=class_)


def _text(x: float, y: float, text: str, class_: str) -> Markup:
    return tag("text", text, x=f"{x:g}", y=f"{y:g}", class_=class_)
