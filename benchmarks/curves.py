"""A picture of how planning time grows with the number of models, on logarithmic axes."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import log10
from typing import Any, NamedTuple

_NAME = re.compile(r"plan ([\d,]+) models, (full|incremental)")
_SECONDS = {"s": 1.0, "ms": 1e-3}

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _MARGIN = 640, 360, 64, 48, 24
_COLOURS = {"full": "#2563eb", "incremental": "#d97706"}
_STYLE = "text{font:12px sans-serif;fill:#6b7280}line{stroke:#9ca3af;stroke-width:.5}"


class Point(NamedTuple):
    """A plan of so many models took so many seconds."""

    models: int
    seconds: float


def growth(figures: Iterable[Mapping[str, Any]]) -> str | None:
    """The picture as SVG; None where the figures have no times of plans."""
    curves: dict[str, list[Point]] = {}
    for figure in figures:
        found = _NAME.fullmatch(figure["name"])
        if found:
            seconds = figure["value"] * _SECONDS[figure["unit"]]
            models = int(found[1].replace(",", ""))
            curves.setdefault(found[2], []).append(Point(models, seconds))
    return "\n".join(_drawn(curves)) + "\n" if curves else None


def _drawn(curves: Mapping[str, Sequence[Point]]) -> Iterator[str]:
    every = [point for points in curves.values() for point in points]
    across = _decades([point.models for point in every])
    up = _decades([point.seconds for point in every])

    def place(point: Point) -> tuple[float, float]:
        x = (log10(point.models) - across[0]) / (across[-1] - across[0])
        y = (log10(point.seconds) - up[0]) / (up[-1] - up[0])
        wide, high = _WIDTH - _LEFT - _MARGIN, _HEIGHT - _BOTTOM - _MARGIN
        return _LEFT + x * wide, _HEIGHT - _BOTTOM - y * high

    size = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    yield f"<title>Seconds of a plan by number of models</title><style>{_STYLE}</style>"
    for decade in across:
        x, y = place(Point(10**decade, 10 ** up[0]))
        yield f'<line x1="{x:.1f}" y1="{_MARGIN}" x2="{x:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{10**decade:,}</text>'
    for decade in up:
        x, y = place(Point(10 ** across[0], 10.0**decade))
        yield f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{_WIDTH - _MARGIN}" y2="{y:.1f}"/>'
        yield f'<text x="{x - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{10.0**decade:g} s</text>'
    yield f'<text x="{_WIDTH - _MARGIN}" y="{_HEIGHT - 8}" text-anchor="end">models</text>'
    for at, (name, points) in enumerate(sorted(curves.items())):
        yield from _curve(name, [place(point) for point in sorted(points)], at)
    yield "</svg>"


def _curve(name: str, points: Sequence[tuple[float, float]], at: int) -> Iterator[str]:
    colour = _COLOURS[name]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    yield f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y in points:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
    label = f'x="{_LEFT + 12}" y="{_MARGIN + 16 * (at + 1)}" style="fill:{colour}"'
    yield f"<text {label}>{name} plan, one core</text>"


def _decades(values: Iterable[float]) -> list[int]:
    """Powers of ten from the one below the least value to the one above the largest."""
    told = [log10(value) for value in values]
    low, high = int(min(told) // 1), int(-(-max(told) // 1))
    return list(range(low, max(high, low + 1) + 1))
