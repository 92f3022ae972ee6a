"""The picture of accuracy loss against speed-up, as SVG that stands inside the page."""

from collections.abc import Sequence

from tightship.report import figures
from tightship.report.document import ORIGINAL, Entry, Report
from tightship.report.markup import Markup, escaped, joined, lines, tag
from tightship.report.scale import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    Point,
    Scale,
    fitted,
    front,
    whisker,
)

_MARK = 6.0
_LETTER, _LINE = 6.6, 14.0  # a letter's width and a line's height, about
_NAME_MAX = 30

Box = tuple[float, float, float, float]


def points(report: Report) -> list[Point]:
    """The original and every candidate whose loss and speed were both measured."""
    return [_original(report), *(p for p in map(_point, report.candidates) if p is not None)]


def missing(report: Report) -> list[str]:
    """Ids of candidates that have no place in the picture."""
    return [entry.id for entry in report.candidates if _point(entry) is None]


def _original(report: Report) -> Point:
    value = figures.number(report.baseline)
    return Point(
        name=ORIGINAL,
        speedup=1.0,
        loss=0.0,
        lower=0.0,
        upper=0.0,
        status=ORIGINAL,
        told=f"{ORIGINAL}: {report.gate.metric} {value}",
    )


def _point(entry: Entry) -> Point | None:
    gate = entry.gate
    if gate is None or gate.loss is None or not entry.speedup or entry.speedup < 0:
        return None
    lower, upper = whisker(gate, gate.loss)
    told = (
        f"{entry.id} ({entry.status}): {figures.speed(entry)}, loss {figures.number(gate.loss)}, "
        f"bounds {figures.number(lower)} to {figures.number(upper)}"
    )
    return Point(
        name=entry.id,
        speedup=entry.speedup,
        loss=gate.loss,
        lower=lower,
        upper=upper,
        status=entry.status,
        told=f"{told}. {entry.reason}" if entry.reason else told,
    )


def svg(report: Report) -> Markup:
    """The whole picture; its description names every point."""
    found = points(report)
    scale = fitted(report, found)
    told = "; ".join(f"{p.name} x{p.speedup:.2f}, loss {figures.number(p.loss)}" for p in found)
    return tag(
        "svg",
        lines(
            tag("title", "Accuracy loss against speed-up", id="plot-title"),
            tag("desc", told, id="plot-description"),
            _axes(scale, report),
            _demands(scale, report),
            _front(scale, found),
            *(_mark(scale, point) for point in found),
            *_names(scale, found),
        ),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_labelledby="plot-title plot-description",
    )


def _line(x: tuple[float, float], y: tuple[float, float], class_: str) -> Markup:
    ends = {"x1": x[0], "x2": x[1], "y1": y[0], "y2": y[1]}
    return tag("line", **{name: f"{end:g}" for name, end in ends.items()}, class_=class_)


def _text(x: float, y: float, text: str, class_: str) -> Markup:
    return tag("text", text, x=f"{x:g}", y=f"{y:g}", class_=class_)


def _axes(scale: Scale, report: Report) -> Markup:
    right, low = WIDTH - RIGHT, HEIGHT - BOTTOM
    found = []
    for speed in scale.speeds():
        x = scale.x(speed)
        found += [_line((x, x), (TOP, low), "grid"), _text(x, low + 18, f"x{speed:g}", "tick")]
    for loss in scale.losses():
        y = scale.y(loss)
        label = f"{loss:.4g}" if loss else "0"
        found += [_line((LEFT, right), (y, y), "grid"), _text(LEFT - 8, y + 4, label, "tick end")]
    middle = (LEFT + right) / 2
    title = f"{report.gate.loss} of {report.gate.metric} (up is worse)"
    found.append(_text(middle, HEIGHT - 10, "speed-up (right is faster)", "axis"))
    found.append(_text(LEFT - 60, TOP - 12, title, "axis start"))
    return tag("g", lines(*found))


def _demands(scale: Scale, report: Report) -> Markup:
    """The gate, and the least speed-up that counts."""
    right, low = WIDTH - RIGHT, HEIGHT - BOTTOM
    y, x = scale.y(report.gate.max_drop), scale.x(report.min_speedup)
    return tag(
        "g",
        lines(
            _line((LEFT, right), (y, y), "demand"),
            _text(right, y - 5, f"gate: bound at most {report.gate.max_drop:g}", "demand end"),
            _line((x, x), (TOP, low), "demand"),
            _text(x + 5, low - 6, f"minSpeedup x{report.min_speedup:g}", "demand start"),
        ),
    )


def _front(scale: Scale, found: Sequence[Point]) -> Markup:
    """The Pareto front; a single point needs no line."""
    best = front(found)
    path = " L".join(f"{scale.x(p.speedup):g},{scale.y(p.loss):g}" for p in best)
    return tag("path", d=f"M{path}", class_="front") if len(best) > 1 else escaped("")


def _mark(scale: Scale, point: Point) -> Markup:
    """A mark with its bounds; form and colour both tell the status."""
    x, y = scale.x(point.speedup), scale.y(point.loss)
    bounds = _line((x, x), (scale.y(point.lower), scale.y(point.upper)), "bounds")
    return tag("g", tag("title", point.told), bounds, _form(point.status, x, y), class_="mark")


def _form(status: str, x: float, y: float) -> Markup:
    if status == ORIGINAL:
        side = f"{2 * _MARK:g}"
        place = {"x": f"{x - _MARK:g}", "y": f"{y - _MARK:g}"}
        return tag("rect", **place, width=side, height=side, class_="original")
    if status == "chosen":
        return tag("path", d=f"M{x:g},{y - 9:g} l9,9 l-9,9 l-9,-9 z", class_="chosen")
    class_ = "passed" if status == "passed" else "refused"
    return tag("circle", cx=f"{x:g}", cy=f"{y:g}", r=f"{_MARK:g}", class_=class_)


def _names(scale: Scale, found: Sequence[Point]) -> list[Markup]:
    """A name beside each mark, moved until it hides neither a mark nor another name."""
    taken = [_box(scale.x(p.speedup) - 9, scale.y(p.loss) + 9, 18, 18) for p in found]
    names = []
    for point in found:
        off = f" (loss {figures.number(point.loss)})" if scale.beyond(point.loss) else ""
        name = _short(point.name) + off
        box = _free(scale, point, len(name) * _LETTER, taken)
        taken.append(box)
        names.append(_text(box[0], box[3] - 3, name, "name"))
    return names


def _short(name: str) -> str:
    """A name that fits the picture: settings that differ in their last word must stay apart."""
    half = _NAME_MAX // 2
    return name if len(name) <= _NAME_MAX else f"{name[: half - 1]}…{name[-half:]}"


def _free(scale: Scale, point: Point, width: float, taken: Sequence[Box]) -> Box:
    """The first free place around a mark inside the picture, else the one at its right."""
    x, y = scale.x(point.speedup), scale.y(point.loss)
    sides = (x + 11, x - 11 - width, x - width / 2)
    places = [
        _box(side, y + 6 + shift * _LINE, width, _LINE)
        for shift in (0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5, 6, -6)
        for side in sides
    ]
    free = (box for box in places if _inside(box) and not any(_meet(box, t) for t in taken))
    return next(free, places[0])


def _box(left: float, low: float, width: float, height: float) -> Box:
    return left, low - height, left + width, low


def _inside(box: Box) -> bool:
    return box[0] >= LEFT and box[2] <= WIDTH - 4 and box[1] >= TOP and box[3] <= HEIGHT - BOTTOM


def _meet(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def legend() -> Markup:
    """What the forms mean."""
    return joined(
        "Square: the original. Diamond: what is served. Filled circle: passed, and another one is "
        "better. Hollow circle: refused. Vertical strokes are confidence bounds; a candidate is "
        "inside the gate when its upper bound is. The dashed curve is the Pareto front. Speed-ups "
        "are of the last stage that a candidate reached: a quick look, the runtime, or Triton."
    )
