"""A table of what a conversion tried, for a person."""

from tightship.optimize import report
from tightship.optimize.conversion import Conversion
from tightship.optimize.engine import Executable

_REASON_WIDTH = 100


def table(found: Conversion) -> str:
    """One row for each candidate: status, size, speed-up, metric, reason."""
    rows = [("candidate", "status", "MB", "speed-up", found.metric.name, "reason")]
    value = found.baseline.get("metric")
    size = Executable(found.original).bytes / 1e6
    status = "passed" if found.chosen else "chosen"
    rows.append((report.ORIGINAL, status, f"{size:.2f}", "x1.00", _number(value), ""))
    for candidate in found.candidates:
        gate = candidate.verdicts.get("gate") or {}
        speed = candidate.timed.speedup if candidate.timed else candidate.look
        rows.append(
            (
                candidate.id,
                candidate.status.value,
                f"{candidate.bytes / 1e6:.2f}" if candidate.bytes else "-",
                f"x{speed:.2f}" if speed else "-",
                _number(gate.get("after")),
                candidate.reason[:_REASON_WIDTH],
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
