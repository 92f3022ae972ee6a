"""The conversion's own candidates: the best of each technique, as its report.json tells of it."""

from collections.abc import Mapping
from typing import Any

from benchmarks.optimize import rows
from benchmarks.optimize.rows import Row

from tightship.optimize.candidate import Status
from tightship.optimize.gate.verdict import Verdict

COLUMNS = ("candidate", *rows.COLUMNS[1:])
TECHNIQUES = (
    "dynamic-int8", "static-int8", "openvino", "openvino-bf16", "openvino-int8", "tensorrt",
    "weight-only", "fp16", "prune",
)  # fmt: skip
_REASON = 160
_NOTE = 500
_VALUES = ("n", "before", "after", "drop", "lower", "upper")

Entry = Mapping[str, Any]  # one of the report's `candidates`


def technique(name: str) -> str:
    """What a candidate's id begins with of TECHNIQUES, or the id; of each part, when several."""
    parts = name.split("+")
    return "+".join(
        max((each for each in TECHNIQUES if part.startswith(each)), key=len, default=part)
        for part in parts
    )


def best(report: Mapping[str, Any]) -> list[Entry]:
    """Of each technique the candidate that came nearest to be chosen, in the report's order.

    That is the chosen one; else one inside the gate; and of these the fastest. Where none was
    built, the technique's first tells why, but for combinations, whose parts have told it.
    """
    groups: dict[str, list[Entry]] = {}
    for entry in report["candidates"]:
        groups.setdefault(technique(entry["id"]), []).append(entry)
    return [
        max(entries, key=_nearness)
        for name, entries in groups.items()
        if "+" not in name or any(entry["bytes"] for entry in entries)
    ]


def _nearness(entry: Entry) -> tuple[bool, bool, bool, float]:
    gate = entry["gate"] or {}
    chosen = entry["status"] == Status.CHOSEN.value
    return chosen, bool(gate.get("passes")), bool(entry["bytes"]), speed(entry) or 0.0


def speed(entry: Entry) -> float | None:
    """The speed-up at batch 1 in the runtime, where it was not timed in the quick look."""
    found: float | None = (entry["runtime"] or {}).get("speedup", entry["lookSpeedup"])
    return found


def row(entry: Entry, batch: int) -> Row:
    """A candidate as a line of the table; `batch` is what the product took throughput at."""
    timed, races = entry["runtime"], entry["triton"] or {}
    # Batch 1 comes last: it is what counts for a model that takes no larger one.
    bare = {batch: timed["batched_speedup"], 1: timed["speedup"]} if timed else {}
    found = [races[name] for name in ("batched", "race") if races.get(name)]
    return Row(
        name=entry["id"],
        bytes=entry["bytes"] or 0,
        bare=bare,
        look=None if timed else entry["lookSpeedup"],
        served={race["batch"]: race["speedup"] for race in found},
        verdict=_verdict(entry["gate"]),
        note=_status(entry),
    )


def _verdict(gate: Mapping[str, Any] | None) -> Verdict | None:
    """None where nothing was judged, or a value was not finite."""
    if gate is None or any(gate[name] is None for name in _VALUES):
        return None
    return Verdict(**{name: gate[name] for name in _VALUES}, failed=tuple(gate["failed"]))


def _status(entry: Entry) -> str:
    reason = entry["reason"]
    return f"{entry['status']}: {shortened(reason)}" if reason else entry["status"]


def table(report: Mapping[str, Any]) -> list[list[str]]:
    """The lines of the table, as COLUMNS."""
    batch = (report["runtime"] or {}).get("batch", 1)
    return [row(entry, batch).cells() for entry in best(report)]


def unchanged(report: Mapping[str, Any]) -> str:
    """Why the original is served: what became of each technique's best, the fastest first."""
    ran = [(found, entry) for entry in best(report) if (found := speed(entry)) is not None]
    if not ran:
        return str(report["selection"]["reason"])[:_NOTE]
    ran.sort(key=lambda pair: -pair[0])
    told = "no candidate passed; the fastest first"
    for place, (_, entry) in enumerate(ran):
        more = f"{told}{'; ' if place else ': '}{entry['id']}: {shortened(entry['reason'])}"
        if len(more) > _NOTE:
            break
        told = more
    return told


def shortened(reason: str) -> str:
    """A reason's beginning, in whole words."""
    if len(reason) <= _REASON:
        return reason
    return f"{reason[:_REASON].rsplit(' ', 1)[0]} …"
