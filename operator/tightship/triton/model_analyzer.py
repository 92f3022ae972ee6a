"""Triton Model Analyzer: its results in CSV, as points of a profile and as memory of a model.

The files are metrics-model-inference.csv, metrics-model-gpu.csv and metrics-server-only.csv of a
results folder; columns are the headers of model_analyzer/record/types and result tables.
Milliseconds, MB of a million bytes, inferences (samples) per second.
"""

import re
from collections.abc import Iterable, Sequence

from tightship.triton import closed_loop, csv_table
from tightship.triton.csv_table import Row, TableError
from tightship.triton.profile import Point

ORIGIN = "metrics-model-inference.csv of Model Analyzer"
GPU_ORIGIN = "metrics-model-gpu.csv of Model Analyzer"
SERVER_ORIGIN = "metrics-server-only.csv of Model Analyzer"

MODEL, CONFIG, BATCH, CONCURRENCY = "Model", "Model Config Path", "Batch", "Concurrency"
INSTANCES, MAX_BATCH, THROUGHPUT = "Instance Group", "Max Batch Size", "Throughput (infer/sec)"
P90, P99, MEAN = "p90 Latency (ms)", "p99 Latency (ms)", "Avg Latency (ms)"
GPU, GPU_MEMORY = "GPU UUID", "GPU Memory Usage (MB)"
STAGES = {
    "queue": "Server Queue time (ms)",
    "input": "Server Compute Input time (ms)",
    "model": "Server Compute Infer time (ms)",
    "output": "Server Compute Output time (ms)",
}
_MS, _MB = 1e-3, 1_000_000
_NAMED = 8  # choices that an error names


class Results:
    """Rows of one configuration of one model."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._rows = rows
        self.model = rows[0].cells[MODEL]
        self.config = rows[0].cells[CONFIG]

    def points(self) -> tuple[Point, ...]:
        """What was measured.

        Raises:
            TableError: a cell is no number, or a point was measured twice.
        """
        return closed_loop.unique((row, _point(row)) for row in self._rows)

    def max_batch(self) -> int | None:
        """`max_batch_size` of the configuration; None in files of older versions."""
        first = self._rows[0]
        return first.count(MAX_BATCH) if first.has(MAX_BATCH) else None


def read(text: str, *, model: str | None, config: str | None) -> Results:
    """The rows of one configuration; a file with one model or configuration needs no name of it.

    Raises:
        TableError: the file is none of Model Analyzer's, or which rows are meant is not clear.
    """
    header = text.partition("\n")[0]
    if "Request Rate" in header:
        raise TableError(
            "line 1: measured by request rate, and a profile holds closed loops; "
            "measure with run_config_search_mode and concurrency"
        )
    needed = (MODEL, BATCH, CONCURRENCY, CONFIG, INSTANCES, THROUGHPUT, P99)
    rows = csv_table.read(text, needed, ORIGIN)
    for row in rows:
        if "," in row.cells[MODEL]:
            raise row.error(
                f"measured together: {row.cells[MODEL]}; a profile is of one model alone: profile "
                "without run_config_profile_models_concurrently_enable"
            )
    rows = _only(rows, MODEL, model, "--model")
    return Results(_only(rows, CONFIG, config, "--config"))


def memory(model_text: str, server_text: str, results: Results) -> int:
    """Bytes that a model takes on the devices: the most that was in use, less the bare server's.

    Raises:
        TableError: the configuration is not in the file, or a cell is no number.
    """
    used = csv_table.read(
        model_text, (MODEL, CONFIG, BATCH, CONCURRENCY, GPU, GPU_MEMORY), GPU_ORIGIN
    )
    mine = [row for row in used if row.cells[CONFIG] == results.config]
    if not mine:
        raise TableError(f"no row of {results.config}; both files must be of the same run")
    bare = csv_table.read(server_text, (GPU, GPU_MEMORY), SERVER_ORIGIN)
    before = sum(row.number(GPU_MEMORY) for row in bare)
    return max(0, round((_most(mine) - before) * _MB))


def _most(rows: Iterable[Row]) -> float:
    """The highest sum over devices of any measurement, in MB."""
    sums: dict[tuple[str, str], float] = {}
    for row in rows:
        at = (row.cells[BATCH], row.cells[CONCURRENCY])
        sums[at] = sums.get(at, 0.0) + row.number(GPU_MEMORY)
    return max(sums.values())


def _only(rows: Sequence[Row], column: str, wanted: str | None, option: str) -> list[Row]:
    found = sorted({row.cells[column] for row in rows})
    listed = ", ".join(found[:_NAMED]) + (
        f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    )
    if wanted is None and len(found) > 1:
        raise TableError(f"{len(found)} different {column}: {listed}; name one with {option}")
    if wanted is not None and wanted not in found:
        raise TableError(f"no {column} {wanted}; there are {listed}")
    return [row for row in rows if wanted is None or row.cells[column] == wanted]


def _point(row: Row) -> Point:
    batch, concurrency, throughput = (
        row.count(BATCH), row.count(CONCURRENCY), row.positive(THROUGHPUT)
    )  # fmt: skip
    mean = (
        row.positive(MEAN) * _MS
        if row.has(MEAN)
        else closed_loop.mean_latency(batch, concurrency, throughput)
    )
    stages = {name: row.number(col) * _MS for name, col in STAGES.items() if row.has(col)}
    whole = len(stages) == len(STAGES)
    computing = sum(stages.values()) - stages["queue"] if whole else mean
    return Point(
        batch=batch,
        concurrency=concurrency,
        requests=None,
        seconds=None,
        mean=mean,
        p50=None,
        p90=row.positive(P90) * _MS if row.has(P90) else None,
        p99=row.positive(P99) * _MS,
        throughput=throughput,
        server_seconds=sum(stages.values()) if whole else None,
        busy_seconds=closed_loop.busy_bound(batch, throughput, _instances(row), computing),
        stages=stages,
    )


def _instances(row: Row) -> int:
    """Instances of "2:GPU", "2/GPU" or "1:GPU + 1:CPU"."""
    found = re.findall(r"(\d+)\s*[:/]", row.cells[INSTANCES])
    if not found:
        raise row.error(f"{INSTANCES} is {row.cells[INSTANCES]!r}, not such as 1:GPU")
    return sum(int(count) for count in found)
