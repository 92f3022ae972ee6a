"""Triton's perf_analyzer: the CSV of its option -f, as points of a profile.

Columns, units and order are those of ReportWriter::GenerateReport in perf_analyzer's
report_writer.cc: microseconds, means per request, inferences (samples) per second.
"""

from tightship.triton import closed_loop, csv_table
from tightship.triton.csv_table import Row, TableError
from tightship.triton.profile import Point

ORIGIN = "the CSV of perf_analyzer -f FILE"
CONCURRENCY, REQUEST_RATE, THROUGHPUT = "Concurrency", "Request Rate", "Inferences/Second"
MEAN, MEMORY = "Avg latency", "Max GPU Memory Usage"
PERCENTILES = {"p50": "p50 latency", "p90": "p90 latency", "p99": "p99 latency"}
STAGES = {
    "queue": "Server Queue",
    "input": "Server Compute Input",
    "model": "Server Compute Infer",
    "output": "Server Compute Output",
}
_OTHERS = ("Client Send", "Network+Server Send/Recv", "Client Recv")
_CACHE = ("Server Cache Hit", "Server Cache Miss")
_US = 1e-6


def read(text: str, *, batch: int, instances: int) -> tuple[tuple[Point, ...], int | None]:
    """The points of a file that was measured at one batch size, and the device's memory.

    The memory is the most that was in use on the devices, in bytes, Triton's own included; None
    where the file has none (it needs --verbose-csv and --collect-metrics).

    Raises:
        TableError: the file is not perf_analyzer's, not of a closed loop, or not of this batch.
    """
    if text.removeprefix("\ufeff").startswith(REQUEST_RATE):
        raise TableError(
            "line 1: measured by request rate, and a profile holds closed loops; "
            "measure with --concurrency-range"
        )
    needed = (CONCURRENCY, THROUGHPUT, *STAGES.values(), *_OTHERS, *PERCENTILES.values())
    rows = csv_table.read(text, needed, ORIGIN)
    points = closed_loop.unique((row, _point(row, batch, instances)) for row in rows)
    memory = [_memory(row) for row in rows if row.has(MEMORY) and row.cells[MEMORY]]
    return points, max(memory, default=None)


def _point(row: Row, batch: int, instances: int) -> Point:
    if any(row.has(column) and row.number(column) > 0 for column in _CACHE):
        raise row.error("the response cache answered; measure with the cache off")
    concurrency, throughput = row.count(CONCURRENCY), row.positive(THROUGHPUT)
    stages = {name: row.number(column) * _US for name, column in STAGES.items()}
    parts = sum(stages.values()) + sum(row.number(column) * _US for column in _OTHERS)
    mean = row.positive(MEAN) * _US if row.has(MEAN) else parts
    _check_batch(row, batch, closed_loop.implied_batch(concurrency, throughput, mean))
    p50, p90, p99 = (row.positive(column) * _US for column in PERCENTILES.values())
    if not p50 <= p90 <= p99:
        raise row.error("the percentiles do not rise from p50 to p99; export the file again")
    computing = stages["input"] + stages["model"] + stages["output"]
    return Point(
        batch=batch,
        concurrency=concurrency,
        requests=None,
        seconds=None,
        mean=mean,
        p50=p50,
        p90=p90,
        p99=p99,
        throughput=throughput,
        server_seconds=sum(stages.values()),
        busy_seconds=closed_loop.busy_bound(batch, throughput, instances, computing),
        stages=stages,
    )


def _check_batch(row: Row, batch: int, implied: float) -> None:
    if abs(implied / batch - 1) <= closed_loop.BATCH_TOLERANCE:
        return
    likely = max(1, round(implied))
    raise row.error(
        f"throughput and latency belong to a batch of about {implied:.3g}, not {batch}; "
        f"name the batch that perf_analyzer was given with -b, such as {likely}=FILE"
    )


def _memory(row: Row) -> int:
    """Bytes over all devices; a cell is "UUID:BYTES;UUID:BYTES;"."""
    parts = [part.rpartition(":")[2] for part in row.cells[MEMORY].split(";") if part]
    if not parts or not all(part.isdecimal() for part in parts):
        raise row.error(f"{MEMORY} is {row.cells[MEMORY][:80]!r}, not UUID:BYTES; export it again")
    return sum(int(part) for part in parts)
