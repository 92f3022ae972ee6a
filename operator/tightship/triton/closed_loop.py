"""Operational laws of a closed loop: what a measurement that another tool made implies.

Denning and Buzen, "The Operational Analysis of Queueing Network Models", ACM Computing Surveys
10(3), 1978. They hold for every loop of clients that ask one request after the other, whatever the
distributions are.
"""

from collections.abc import Iterable

from tightship.triton.csv_table import Row
from tightship.triton.profile import Point

BATCH_TOLERANCE = 0.2
"""By how much a batch may differ from what throughput and latency say; clients pause a little."""


def mean_latency(batch: int, concurrency: int, throughput: float) -> float:
    """Seconds of one request by Little's law; `throughput` is samples per second."""
    return concurrency * batch / throughput


def implied_batch(concurrency: int, throughput: float, mean: float) -> float:
    """The batch that makes throughput (samples per second) and mean latency (seconds) agree."""
    return throughput * mean / concurrency


def busy_bound(batch: int, throughput: float, instances: int, computing: float) -> float:
    """The most seconds that an instance computed for one request.

    No instance is busy longer than the clock (the utilization law), and none computes longer than
    a request was seen `computing` (seconds). Requests that shared an execution each count its time
    in Triton's statistics, so the second bound alone would be too high where batches form.
    """
    return min(computing, instances * batch / throughput)


def unique(points: Iterable[tuple[Row, Point]]) -> tuple[Point, ...]:
    """The points in the order of batch and concurrency.

    Raises:
        TableError: one was measured twice.
    """
    found: dict[tuple[int, int], tuple[Row, Point]] = {}
    for row, point in points:
        at = (point.batch, point.concurrency)
        if at in found:
            raise row.error(
                f"batch {at[0]} at concurrency {at[1]} stands in line {found[at][0].line} already; "
                "keep one of them"
            )
        found[at] = (row, point)
    return tuple(point for _, (_, point) in sorted(found.items()))
