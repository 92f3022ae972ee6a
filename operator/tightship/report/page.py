"""The report as one HTML file: nothing is loaded from elsewhere, and no script runs."""

import shlex
from collections.abc import Sequence

from tightship.report import figures, plot, style, tables
from tightship.report.document import Report
from tightship.report.markup import Markup, joined, lines, tag

# Even if markup got in from a model's names, a browser would load and run nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def page(report: Report) -> str:
    """The whole page; the same report gives the same bytes."""
    return whole(f"Conversion report: {report.variant}", _sections(report), style.CSS)


def whole(title: str, sections: Sequence[Markup], css: str) -> str:
    """A page of its own with these sections and this style."""
    head = lines(
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", title),
        tag("style", Markup(f"\n{css}\n")),
    )
    body = tag("main", lines(*sections))
    html = tag("html", lines(tag("head", head), tag("body", body)), lang="en")
    return f"<!DOCTYPE html>\n{html}\n"


def _sections(report: Report) -> list[Markup]:
    return [
        tag("h1", f"Conversion report: {report.variant}"),
        tag("p", report.reason, class_="lead"),
        _summary(report),
        *(tag("p", warning, class_="warning") for warning in report.warnings),
        tag("h2", "Accuracy against speed"),
        _figure(report),
        tag("h2", "Candidates"),
        tables.candidates(report),
        tag("p", f"Rule of the choice: {report.rule}.", class_="dim"),
        tag("h2", "Layer coverage"),
        *_coverage(report),
        tag("h2", "Data and gate"),
        tables.data(report),
        tag("h2", "Model"),
        tables.model(report),
        tag("h2", "Surroundings"),
        tables.surroundings(report),
        tag("h2", "How to reproduce"),
        *_reproduce(report),
    ]


def _summary(report: Report) -> Markup:
    chosen = report.chosen
    served = f"{report.variant} ({report.technique})" if chosen else report.variant
    gate, size = (chosen.gate, chosen.bytes) if chosen else (None, report.size)
    after = gate.after if gate else report.baseline
    speed = figures.speed(chosen) if chosen else figures.ratio(1.0)
    metric = f"{figures.number(report.baseline)} -> {figures.number(after)}"
    found = [
        ("served", served),
        ("speed-up", speed),
        (report.gate.metric, metric),
        ("size", f"{figures.size(report.size)} -> {figures.size(size)}"),
        ("proven in Triton", "yes" if report.proven else "no"),
        ("objective", objective(report)),
    ]
    return tables.facts("In short", found)


def objective(report: Report) -> str:
    """The latency objective and what was measured; empty without one."""
    node = report.raw.at("objective")
    if node.value is None:
        return ""
    target = figures.duration(node.at("targetSeconds").number())
    measured = node.at("measuredSeconds")
    told = f"p{node.at('percentile').integer()} at most {target}"
    if measured.value is None:
        return f"{told}, not measured"
    met = "met" if node.at("met").flag() else "missed"
    return f"{told}, {met} with {figures.duration(measured.number())}"


def _figure(report: Report) -> Markup:
    absent = plot.missing(report)
    told = f" Not measured far enough for the picture: {', '.join(absent)}." if absent else ""
    picture = tag("div", plot.svg(report), class_="wide", tabindex="0", role="region",
                  aria_label="Picture")  # fmt: skip
    return tag("figure", lines(picture, tag("figcaption", plot.legend(), told)))


def _coverage(report: Report) -> list[Markup]:
    if not any(entry.coverage for entry in report.candidates):
        return [tag("p", "No candidate was built, so nothing was reached.")]
    built = [tables.layers(entry) for entry in report.candidates if entry.layers]
    return [tables.coverage(report), *built]


def _reproduce(report: Report) -> list[Markup]:
    images = report.raw.at("images")
    key = report.key or "none"
    found = [
        tag("p", joined("KEY of the artifact: ", tag("code", key))),
        tag("p", joined("Converter image: ", tag("code", images.at("converter").text()),
                        ", server image: ", tag("code", images.at("server").text()))),
    ]  # fmt: skip
    if not report.command:
        return [*found, tag("p", "This report is older than the command that would repeat it.")]
    told = (
        "The same work on another machine, with the files whose sha256 stand above in the place of "
        "MODEL, CALIBRATION and EVALUATION; --triton and --models prove it in a Triton at hand. "
        "Times differ between machines, and so may the choice."
    )
    return [*found, tag("p", told), tag("pre", tag("code", shlex.join(report.command)))]
