"""The page's tables: candidates, layers, data, and where and how it was measured."""

from collections.abc import Iterable, Sequence

from tightship.report import figures
from tightship.report.document import ORIGINAL, Entry, Report, Tensor
from tightship.report.markup import Markup, joined, lines, tag
from tightship.report.reader import Node

FIGURE, WORD = "figure", "word"


def table(
    caption: str, columns: Sequence[tuple[str, str]], rows: Iterable[Markup], class_: str = ""
) -> Markup:
    """A table; a column is its title and its class."""
    heads = [tag("th", title, scope="col", **_class(name)) for title, name in columns]
    inner = lines(
        tag("caption", caption),
        tag("thead", tag("tr", *heads)),
        tag("tbody", lines(*rows)),
    )
    whole = tag("table", inner, **_class(class_))
    return tag("div", whole, class_="wide", tabindex="0", role="region", aria_label=caption)


def row(cells: Sequence[tuple[str, str]], class_: str = "") -> Markup:
    """One row; a cell is its content and its class, the first one names the row."""
    (head, head_class), *rest = cells
    first = tag("th", head, scope="row", **_class(head_class))
    others = [tag("td", cell, **_class(name)) for cell, name in rest]
    return tag("tr", first, *others, **_class(class_))


def facts(caption: str, found: Iterable[tuple[str, str]]) -> Markup:
    """A table of two columns."""
    rows = [row([(name, ""), (value, "")]) for name, value in found if value]
    return table(caption, [("what", ""), ("value", "")], rows)


def _class(name: str) -> dict[str, str]:
    return {"class_": name} if name else {}


def candidates(report: Report) -> Markup:
    """One row for the original and each candidate, with the reason of whatever is not served."""
    columns = [
        ("candidate", ""),
        ("status", WORD),
        ("size", FIGURE),
        ("speed-up", FIGURE),
        ("median", FIGURE),
        (report.gate.metric, FIGURE),
        (f"{report.gate.loss}, upper bound", FIGURE),
        ("least cosine", FIGURE),
        ("why", "reason"),
    ]
    rows = [
        listed(columns, _original(report), chosen=report.chosen is None),
        *(listed(columns, _candidate(report, e), chosen=e.chosen) for e in report.candidates),
    ]
    caption = "Every candidate, and why it is served or not"
    return table(caption, columns, rows, class_="list")


def listed(columns: Sequence[tuple[str, str]], cells: Sequence[str], *, chosen: bool) -> Markup:
    """A row whose cells carry their column's title, for screens too narrow for columns."""
    (_, first), *others = zip(columns, cells, strict=True)
    rest = [tag("td", cell, data_of=title, class_=f"{name} none" if cell == figures.NONE else name)
            for (title, name), cell in others]  # fmt: skip
    return tag("tr", tag("th", first, scope="row"), *rest, **_class("chosen" if chosen else ""))


def _original(report: Report) -> list[str]:
    served = report.chosen is None
    return [
        ORIGINAL,
        "served" if served else "compared with",
        figures.size(report.size),
        figures.ratio(1.0),
        figures.NONE,
        figures.number(report.baseline),
        figures.NONE,
        figures.NONE,
        report.reason if served else "",
    ]


def _candidate(report: Report, entry: Entry) -> list[str]:
    gate = entry.gate
    why = report.reason if entry.chosen else entry.reason
    notes = [tag("div", note, class_="dim") for note in entry.notes]
    return [
        entry.id,
        entry.status,
        figures.size(entry.bytes),
        figures.speed(entry),
        figures.duration(entry.p50),
        figures.number(gate.after if gate else None),
        figures.number(gate.upper if gate else None),
        figures.number(entry.cosine),
        joined(why, *notes),
    ]


def coverage(report: Report) -> Markup:
    """How much of the model each technique reached."""
    columns = [("candidate", ""), ("reached", ""), ("value", FIGURE)]
    rows = [
        row([(entry.id, ""), (_words(name), ""), (_covered(name, value), FIGURE)])
        for entry in report.candidates
        for name, value in sorted(entry.coverage.items())
    ]
    return table("How much of the model each technique reached", columns, rows)


def _words(name: str) -> str:
    """`integerWeightShare` as words."""
    return "".join(f" {char.lower()}" if char.isupper() else char for char in name)


def _covered(name: str, value: float) -> str:
    return figures.share(value) if name.endswith("Share") else f"{value:g}"


def layers(entry: Entry) -> Markup:
    """Which operators of one candidate compute with which weights."""
    columns = [("operator", ""), ("weights", ""), ("nodes", FIGURE), ("parameters", FIGURE)]
    rows = [
        row([(each.operator, ""), (each.weights, ""), (f"{each.nodes}", FIGURE),
             (f"{each.parameters:,}", FIGURE)])
        for each in entry.layers
    ]  # fmt: skip
    return table(f"Layers with weights in {entry.id}", columns, rows)


def data(report: Report) -> Markup:
    """Which data calibrated and judged, and what so many samples can show."""
    gate, found = report.gate, report.raw.at("data")
    needed = figures.NONE if gate.needed is None else f"{gate.needed}"
    return facts(
        "Data and what they can show",
        [
            ("calibration", _dataset(found.at("calibration"))),
            ("evaluation", _dataset(found.at("evaluation"))),
            ("code of the metric", _code(report.raw.at("ownMetric"))),
            ("code of the trainer", _code(report.raw.at("trainer"))),
            ("demand", figures.allowed(gate)),
            ("test", gate.method),
            ("samples that judged", figures.NONE if gate.samples is None else f"{gate.samples}"),
            ("least loss that they can rule out", figures.number(gate.resolution)),
            ("samples that the demand needs at best", needed),
            ("what these data cannot show", "; ".join(gate.shortfalls)),
        ],
    )


def _dataset(node: Node) -> str:
    if node.value is None:
        return "none given"
    return f"{node.at('samples').integer()} samples, {_digest(node)}"


def _code(node: Node) -> str:
    """The user's code that took part; empty without one."""
    if node.value is None:
        return ""
    address = node.at("storageUri").maybe(Node.text)
    found = [node.at("entrypoint").text(), *([f"from {address}"] if address else [])]
    return f"{' '.join(found)}, {_digest(node)}"


def _digest(node: Node) -> str:
    return f"sha256 {node.at('sha256').maybe(Node.text) or 'not pinned'}"


def model(report: Report) -> Markup:
    """What came in."""
    source = report.raw.at("source")
    contract = source.at("contract")
    steps, filled = source.at("normalised"), source.at("config").at("filled").texts()
    batch = contract.at("max_batch").integer()
    return facts(
        "The model as it came",
        [
            ("sha256", source.at("sha256").maybe(Node.text) or "not pinned"),
            ("format and size", f"{source.at('format').text()}, {figures.size(report.size)}"),
            ("inputs", _tensors(report.inputs)),
            ("outputs", _tensors(report.outputs)),
            ("batch", f"up to {batch}" if batch else "no batch axis"),
            ("nodes", f"{contract.at('nodes').integer():,}"),
            ("parameters", f"{contract.at('parameters').integer():,}"),
            ("opset", f"{contract.at('opset').integer()}"),
            ("operators", _counts(contract.at("operators"))),
            ("notes", "; ".join(contract.at("notes").texts())),
            ("normalised by", "; ".join(_maybe_texts(steps, "steps"))),
            ("normalising notes", "; ".join(_maybe_texts(steps, "notes"))),
            ("filled into config.pbtxt", ", ".join(filled)),
        ],
    )


def _maybe_texts(node: Node, name: str) -> tuple[str, ...]:
    return () if node.value is None else node.at(name).texts()


def _counts(node: Node) -> str:
    return ", ".join(f"{name} {count:g}" for name, count in node.numbers().items())


def _tensors(found: Sequence[Tensor]) -> str:
    return "; ".join(
        f"{each.name}: {each.dtype} [{', '.join('?' if d is None else str(d) for d in each.dims)}]"
        for each in found
    )


def surroundings(report: Report) -> Markup:
    """Where it was measured, with which versions, and how exact the clock was."""
    raw = report.raw
    hardware, runtime = raw.at("hardware"), raw.at("runtime")
    threads, cores = hardware.at("threads").integer(), hardware.at("cores").integer()
    memory = figures.size(hardware.at("memoryBytes").integer())
    found = [
        ("processor", f"{hardware.at('cpu').text()}, {threads} of {cores} cores, {memory}"),
        ("instruction sets", ", ".join(hardware.at("flags").texts())),
        ("load while it ran", ", ".join(f"{n.number():g}" for n in hardware.at("load").items())),
        ("node class", hardware.at("nodeClass").text()),
        ("images", ", ".join(f"{n}: {v.text()}" for n, v in raw.at("images").fields())),
        ("versions", ", ".join(f"{n} {v.text()}" for n, v in raw.at("tools").fields())),
        ("clock of the runtime", _clock(runtime)),
        ("Triton", _triton(raw.at("triton"))),
        ("seconds of each stage", _stages(raw.at("seconds"))),
    ]
    return facts("Where and how it was measured", found)


def _clock(runtime: Node) -> str:
    if runtime.value is None:
        return "nothing was timed"
    noise = figures.share(runtime.at("noise").number())
    rounds = runtime.at("rounds").integer()
    p50 = figures.duration(runtime.at("original").at("wall_p50").number())
    clock = runtime.at("clock").text()
    return f"{clock}, {rounds} rounds, noise floor {noise}; original's median {p50}"


def _triton(node: Node) -> str:
    if node.value is None:
        return "none was given: the choice rests on the runtime's own figures"
    loaded = figures.duration(node.at("loadSeconds").number())
    memory = figures.size(node.at("memoryBytes").integer())
    seen = "" if node.at("memorySeen").flag() else ", estimated from above"
    told = f"version {node.at('server').text()}, loads in {loaded}, {memory} of memory{seen}"
    told += _request(node.at("stages"))
    race = node.at("race")
    if race.value is None:
        return told
    before, after = race.at("p50_before").number(), race.at("p50").number()
    return f"{told}; median {figures.duration(before)} -> {figures.duration(after)}"


def _request(stages: Node) -> str:
    """Where one request spends its time; nothing in reports of older versions."""
    if stages.value is None:
        return ""
    parts = (f"{name} {figures.duration(value)}" for name, value in stages.numbers().items())
    return f"; of a request {', '.join(parts)}"


def _stages(seconds: Node) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in seconds.numbers().items())
