"""The answer as one HTML file, in the look of the conversion report: no script, nothing loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightship.report import page as report_page
from tightship.report import style
from tightship.report.markup import lines, tag
from tightship.report.tables import FIGURE, WORD, facts, listed, table
from tightship.whatif import picture, wording
from tightship.whatif.outlook import Verdict

if TYPE_CHECKING:
    from tightship.report.markup import Markup
    from tightship.whatif.outlook import Outlook

_MODELS = (
    *zip(wording.MODEL_HEADINGS, ("", *(FIGURE,) * 5, WORD, WORD), strict=True),
    ("servers", "reason"),
)
_SERVERS = tuple(zip(wording.SERVER_HEADINGS, ("", FIGURE, FIGURE, FIGURE, "reason"), strict=True))


def page(outlook: Outlook) -> str:
    """The whole page; the same answer gives the same bytes."""
    title = f"Placement plan: {outlook.pool}"
    css = f"{style.CSS}\n{picture.CSS}"
    return report_page.whole(title, [tag("h1", title), *_sections(outlook)], css)


def _sections(outlook: Outlook) -> list[Markup]:
    return [
        tag("p", wording.summary(outlook), class_="lead"),
        *(tag("p", told, class_="warning") for told in _warnings(outlook)),
        tag("h2", "Placement"),
        _figure(outlook),
        tag("h2", "What breaks first"),
        *(tag("p", wording.limit(limit)) for limit in outlook.limits),
        tag("h2", "Models"),
        _models(outlook),
        tag("h2", "Servers"),
        _servers(outlook),
        *_changes(outlook),
        *(tag("p", note, class_="dim") for note in outlook.notes),
    ]


def _warnings(outlook: Outlook) -> list[str]:
    bad = {Verdict.OUTSIDE, Verdict.WAITING}
    return [f"{m.name} {wording.verdict(m)}: {m.told}" for m in outlook.models if m.verdict in bad]


def _figure(outlook: Outlook) -> Markup:
    drawn = tag("div", picture.svg(outlook), class_="wide", tabindex="0", role="region",
                aria_label="Placement map")  # fmt: skip
    return tag("figure", lines(drawn, tag("figcaption", picture.legend(outlook))))


def _models(outlook: Outlook) -> Markup:
    rows = [
        listed(_MODELS, [*wording.model(m), ", ".join(m.servers)], chosen=False)
        for m in outlook.models
    ]
    return table("Each model, with its predicted 99th percentile", _MODELS, rows, class_="list")


def _servers(outlook: Outlook) -> Markup:
    rows = [listed(_SERVERS, wording.server(s), chosen=False) for s in outlook.servers]
    return table("Each server in use", _SERVERS, rows, class_="list")


def _changes(outlook: Outlook) -> list[Markup]:
    if outlook.changes is None:
        return []
    told = [(str(i), line) for i, line in enumerate(wording.changes(outlook.changes), start=1)]
    return [tag("h2", "Changes"), facts("To get there from what runs now", told)]
