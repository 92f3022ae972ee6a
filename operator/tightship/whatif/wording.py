"""What the table and the page say alike: headings, figures and sentences of an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightship.report import figures
from tightship.whatif.growth import FACTOR_MAX, Resource
from tightship.whatif.outlook import Verdict

if TYPE_CHECKING:
    from tightship.whatif.growth import Limit
    from tightship.whatif.outlook import Changes, ModelOutlook, Outlook, ServerOutlook, Step

NONE = figures.NONE
CHANGES_MAX = 50
"""Steps that are told to people."""

MODEL_HEADINGS = ("model", "rate/s", "copies", "batch", "delay", "p99", "objective", "verdict")
SERVER_HEADINGS = ("server", "duty", "memory", "of", "models")

_SHORT = {
    Resource.MEMORY: "memory is full",
    Resource.TIME: "the servers' time is taken",
    Resource.COPIES: "it may have no more copies",
    Resource.LATENCY: "its objective is out of reach",
    Resource.DEVICE: "no server suits it",
}
_VERDICTS = {
    Verdict.INSIDE: "inside",
    Verdict.OUTSIDE: "misses",
    Verdict.WAITING: "waits",
    Verdict.NOT_MEASURED: "not measured",
    Verdict.NO_OBJECTIVE: "no objective",
}


def servers(count: int) -> str:
    """So many servers."""
    return f"{count} server" if count == 1 else f"{count} servers"


def summary(outlook: Outlook) -> str:
    """The answer in one sentence."""
    placed = sum(bool(model.servers) for model in outlook.models)
    cost = "" if outlook.cost is None else f", {outlook.cost:.2f} an hour"
    bad = sum(m.verdict in {Verdict.OUTSIDE, Verdict.WAITING} for m in outlook.models)
    told = "none waits or misses its objective" if not bad else f"{bad} wait or miss"
    return (
        f"{placed} of {len(outlook.models)} models on {servers(outlook.billed)} of at most "
        f"{outlook.max_servers} (no plan takes fewer than {outlook.least}){cost}; {told}."
    )


def model(entry: ModelOutlook) -> tuple[str, ...]:
    """One model's cells under MODEL_HEADINGS."""
    copies = f"{entry.copies}" if entry.copies == entry.asked else f"{entry.copies} ({entry.asked})"
    goal = entry.objective
    return (
        entry.name,
        f"{entry.rate:g}",
        copies,
        f"{entry.batch}",
        figures.duration(entry.delay) if entry.delay else "0",
        figures.duration(entry.p99),
        NONE if goal is None else f"p{goal.percentile} {figures.duration(goal.target)}",
        verdict(entry),
    )


def verdict(entry: ModelOutlook) -> str:
    """How a model fares, in words."""
    return _VERDICTS[entry.verdict]


def server(entry: ServerOutlook) -> tuple[str, ...]:
    """One server's cells under SERVER_HEADINGS."""
    return (
        entry.name,
        f"{entry.duty:.0%}",
        figures.size(entry.memory),
        figures.size(entry.capacity),
        ", ".join(held.model for held in entry.models),
    )


def limit(entry: Limit) -> str:
    """What breaks first on so many servers."""
    where = servers(entry.servers)
    if entry.factor is None:
        return f"On {where} the load may grow by x{FACTOR_MAX:g} and more."
    short = _SHORT[entry.resource] if entry.resource else ""
    first = f"{entry.model} breaks first: {short}"
    if entry.factor >= 1:
        return f"On {where} the load may grow to x{entry.factor:.2f}; then {first}."
    if entry.factor == 0:
        return f"On {where} no load at all fits: {first}."
    return f"On {where} only x{entry.factor:.2f} of the load fits; above it {first}."


def changes(found: Changes) -> list[str]:
    """The difference to what runs now, in lines; of many only the first."""
    told = [
        *(f"start {name}" for name in found.starts),
        *map(step, found.steps),
        *(f"stop {name}" for name in found.stops),
    ]
    more = len(told) - CHANGES_MAX
    if more > 0:
        told[CHANGES_MAX:] = [f"and {more} more steps, which --output json has"]
    return told or ["nothing: it is what runs now"]


def step(taken: Step) -> str:
    """One copy that comes, goes or moves."""
    then = "then " if taken.wave else ""
    if taken.source is None:
        return f"{then}load {taken.model} on {taken.target}"
    if taken.target is None:
        return f"{then}unload {taken.model} from {taken.source}"
    return f"{then}move {taken.model} from {taken.source} to {taken.target}"
