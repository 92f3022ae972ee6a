"""A report as frozen values: what of report.json is shown to people.

Fields that came later in schema 1 are optional, so that older reports stay readable. Times are
seconds, sizes bytes, speed-ups ratios, losses in the metric's unit and its harmful direction.
"""

from dataclasses import dataclass

from tightship.api.artifact import REPORT_SCHEMA
from tightship.report.reader import Node, ReportError

CHOSEN = "chosen"
ORIGINAL = "original"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The paired verdict of the gate on one candidate; None where a value was not finite."""

    samples: int
    before: float | None
    after: float | None
    loss: float | None
    lower: float | None
    upper: float | None

    @classmethod
    def read(cls, node: Node) -> "Verdict":
        """A candidate's `gate`."""
        return cls(
            samples=node.at("n").integer(),
            before=node.at("before").maybe(Node.number),
            after=node.at("after").maybe(Node.number),
            loss=node.at("drop").maybe(Node.number),
            lower=node.at("lower").maybe(Node.number),
            upper=node.at("upper").maybe(Node.number),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """Nodes of one operator whose weights are stored as one type."""

    operator: str
    weights: str
    nodes: int
    parameters: int

    @classmethod
    def read(cls, node: Node) -> "Layers":
        """One of a candidate's `layers`."""
        return cls(
            operator=node.at("operator").text(),
            weights=node.at("weights").text(),
            nodes=node.at("nodes").integer(),
            parameters=node.at("parameters").integer(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One candidate. `clock` says where `speedup` was measured; both are empty if nowhere."""

    id: str
    technique: str
    status: str
    reason: str
    bytes: int | None
    seconds: float
    notes: tuple[str, ...]
    coverage: dict[str, float]
    layers: tuple[Layers, ...]
    cosine: float | None
    gate: Verdict | None
    speedup: float | None
    clock: str
    p50: float | None

    @property
    def chosen(self) -> bool:
        """Whether this one is served."""
        return self.status == CHOSEN

    @classmethod
    def read(cls, node: Node) -> "Entry":
        """One of the report's `candidates`."""
        fidelity, triton, runtime = node.at("fidelity"), node.at("triton"), node.at("runtime")
        race = triton.at("race") if triton.value is not None else triton
        found = (
            (race.at("speedup").number(), "Triton", race.at("p50").maybe(Node.number))
            if race.value is not None
            else _in_runtime(node, runtime)
        )
        return cls(
            id=node.at("id").text(),
            technique=node.at("technique").text(),
            status=node.at("status").text(),
            reason=node.at("reason").text(),
            bytes=node.at("bytes").maybe(Node.integer),
            seconds=node.at("seconds").number(),
            notes=node.at("notes").texts(),
            coverage=node.at("coverage").numbers(),
            layers=tuple(Layers.read(item) for item in node.at("layers").items()),
            cosine=fidelity.maybe(lambda f: f.at("cosineMin").number()),
            gate=node.at("gate").maybe(Verdict.read),
            speedup=found[0],
            clock=found[1],
            p50=found[2],
        )


def _in_runtime(node: Node, runtime: Node) -> tuple[float | None, str, float | None]:
    if runtime.value is not None:
        latency = runtime.at("latency").at("wall_p50").maybe(Node.number)
        return runtime.at("speedup").number(), "runtime", latency
    look = node.at("lookSpeedup").maybe(Node.number)
    return look, "" if look is None else "quick look", None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """What was demanded, and what the data can show."""

    metric: str
    method: str
    direction: str
    max_drop: float
    confidence: float
    worst_value: float | None
    max_class_drop: float | None
    worst_class_value: float | None
    samples: int | None
    resolution: float | None
    needed: int | None
    shortfalls: tuple[str, ...]

    @property
    def loss(self) -> str:
        """What a loss of this metric is called."""
        return "rise" if self.direction == "lower is better" else "drop"

    @classmethod
    def read(cls, node: Node) -> "Gate":
        """The report's `gate`."""
        return cls(
            metric=node.at("metric").text(),
            method=node.at("method").text(),
            direction=node.at("direction").text(),
            max_drop=node.at("maxDrop").number(),
            confidence=node.at("confidence").number(),
            worst_value=node.at("worstValue").maybe(Node.number),
            max_class_drop=node.at("maxClassDrop").maybe(Node.number),
            worst_class_value=node.at("worstClassValue").maybe(Node.number),
            samples=node.at("samples").maybe(Node.integer),
            resolution=node.at("resolution").maybe(Node.number),
            needed=node.at("samplesNeeded").maybe(Node.integer),
            shortfalls=node.at("shortfalls").texts(),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One input or output."""

    name: str
    dtype: str
    dims: tuple[int | None, ...]

    @classmethod
    def read(cls, node: Node) -> "Tensor":
        """One of a contract's `inputs` or `outputs`."""
        return cls(
            name=node.at("name").text(),
            dtype=node.at("dtype").text(),
            dims=tuple(size.maybe(Node.integer) for size in node.at("dims").items()),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole report. `raw` is the value that it was read from, for tables of plain facts."""

    key: str | None
    variant: str
    technique: str
    reason: str
    rule: str
    proven: bool
    size: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    gate: Gate
    min_speedup: float
    baseline: float | None
    candidates: tuple[Entry, ...]
    warnings: tuple[str, ...]
    command: tuple[str, ...]
    raw: Node

    @property
    def chosen(self) -> Entry | None:
        """What is served; None: the original."""
        return next((entry for entry in self.candidates if entry.chosen), None)


def read(value: object) -> Report:
    """The parsed report.json as a report.

    Raises:
        ReportError: another schema, or not a report.
    """
    node = Node(value)
    schema = node.at("schema").value
    if isinstance(schema, bool) or schema != REPORT_SCHEMA:
        raise ReportError(
            f"the report's schema is {schema!r}, and this version reads schema {REPORT_SCHEMA}. "
            "Use the version of tightship that wrote it."
        )
    source, selection = node.at("source"), node.at("selection")
    contract = source.at("contract")
    return Report(
        key=node.at("key").maybe(Node.text),
        variant=selection.at("variant").text(),
        technique=selection.at("technique").text(),
        reason=selection.at("reason").text(),
        rule=selection.at("rule").text(),
        proven=selection.at("proven").flag(),
        size=source.at("bytes").integer(),
        inputs=tuple(Tensor.read(item) for item in contract.at("inputs").items()),
        outputs=tuple(Tensor.read(item) for item in contract.at("outputs").items()),
        gate=Gate.read(node.at("gate")),
        min_speedup=node.at("minSpeedup").number(),
        baseline=node.at("baseline").at("metric").maybe(Node.number),
        candidates=tuple(Entry.read(item) for item in node.at("candidates").items()),
        warnings=node.at("warnings").texts(),
        command=_command(node.at("reproduce")),
        raw=node,
    )


def _command(reproduce: Node) -> tuple[str, ...]:
    return reproduce.at("command").texts() if reproduce.value is not None else ()
