"""Measures a model through a real Triton: latency, throughput, busy time, memory and load time."""

import asyncio
import itertools
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tightship.triton.client import UNAVAILABLE, Prepared, TritonClient, prepared
from tightship.triton.errors import TritonError, TritonRefusedError
from tightship.triton.memory import MemoryMeter, ProcessMeter, settled
from tightship.triton.metrics import NoData
from tightship.triton.profile import Point, Profile

log = logging.getLogger(__name__)

WARM_UP_REQUESTS = 20
_REQUESTS_MIN = 30  # below that a p99 says nothing at all
_DISTINCT = 64  # different requests that a loop cycles through
_LARGEST_SECONDS = 60.0  # for the largest batch
_UNLOAD_SECONDS = 30.0
_POLL_SECONDS = 0.02
_NS = 1e-9
_STAGES = {
    "queue": "queue",
    "input": "compute_input",
    "model": "compute_infer",
    "output": "compute_output",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadCost:
    """What loading took: seconds until Triton said ready, and memory growth in bytes if visible."""

    seconds: float
    memory: int | None


async def profile(
    client: TritonClient,
    model: str,
    inputs: Mapping[str, np.ndarray],
    *,
    batches: Sequence[int],
    concurrencies: Sequence[int],
    seconds: float,
    meter: MemoryMeter | None = None,
    largest: int = 1,
) -> Profile:
    """Loads `model` from Triton's repository and measures every batch at every concurrency.

    `inputs` holds one array for each input, first axis the sample; at least one sample. Batches
    above the model's max_batch_size are left out. Each point runs for `seconds`. A model that
    is loaded already is unloaded first; it is left loaded. `meter` defaults to Triton's processes.
    At the end one batch of `largest` samples is asked, for the memory that it takes and keeps.

    Raises:
        TritonError: the model does not load, or a request fails.
    """
    meter = meter or ProcessMeter(client.http_port)
    await unload_and_wait(client, model)
    before = await settled(meter)
    cost = await load_measured(client, model, meter)
    max_batch = int((await client.config(model)).get("max_batch_size", 0))
    points = [
        await measure(client, model, inputs, batch=b, concurrency=c, seconds=seconds)
        for b, c in itertools.product(batches, concurrencies)
        if b <= max(1, max_batch)
    ]
    grown = await _filled(client, model, inputs, min(largest, max_batch), before, meter)
    return Profile(
        server=await client.server_version(),
        max_batch=max_batch,
        load_seconds=cost.seconds,
        memory=cost.memory,
        memory_peak=None if grown is None or cost.memory is None else max(grown, cost.memory),
        memory_source=None if cost.memory is None else meter.source,
        points=tuple(points),
    )


async def _filled(
    client: TritonClient,
    model: str,
    inputs: Mapping[str, np.ndarray],
    batch: int,
    before: int | NoData,
    meter: MemoryMeter,
) -> int | None:
    """Growth of memory since `before`, once a batch of this size was computed.

    Where the model cannot take it, which may end its process, it is loaded again, and what the
    points took counts.
    """
    seen = _growth(before, await settled(meter))
    if batch <= 1 or seen is None:
        return seen
    (request, *_) = _requests(inputs, batch, batch)
    try:
        await client.ask(model, request, deadline=_LARGEST_SECONDS)
    except TritonError as error:
        log.warning("%s: takes no batch of %d; memory of smaller ones: %s", model, batch, error)
        await unload_and_wait(client, model)
        await client.load(model)
        return seen
    filled = _growth(before, await settled(meter))
    return seen if filled is None else max(seen, filled)


async def load_measured(client: TritonClient, model: str, meter: MemoryMeter) -> LoadCost:
    """Loads the model; memory is the growth of everything that the meter sees.

    Raises:
        TritonError: the model does not load.
    """
    before = await settled(meter)
    start = time.perf_counter()
    await client.load(model)
    seconds = time.perf_counter() - start
    return LoadCost(seconds=seconds, memory=_growth(before, await settled(meter)))


async def unload_and_wait(client: TritonClient, model: str) -> None:
    """Unloads the model and returns once no version of it is loaded or on its way out.

    Raises:
        TritonError: Triton does not answer, or the model is still there after 30 s.
    """
    await client.unload(model)
    loop = asyncio.get_running_loop()
    end = loop.time() + _UNLOAD_SECONDS
    while any(
        entry.name == model and entry.state not in ("", UNAVAILABLE)
        for entry in await client.index()
    ):
        if loop.time() > end:
            raise TritonRefusedError(0, f"'{model}' is not unloaded after {_UNLOAD_SECONDS:g} s")
        await asyncio.sleep(_POLL_SECONDS)


async def measure(
    client: TritonClient,
    model: str,
    inputs: Mapping[str, np.ndarray],
    *,
    batch: int,
    concurrency: int,
    seconds: float,
) -> Point:
    """Measures a loaded model in a closed loop: `concurrency` clients ask one after the other.

    After a warm-up of 20 requests a client all are measured for `seconds` and at least 30 requests.

    Raises:
        TritonError: a request fails.
        ValueError: no sample was given, or a batch is asked of a model without a batch axis.
    """
    max_batch = int((await client.config(model)).get("max_batch_size", 0))
    requests = _requests(inputs, batch, max_batch)
    await _closed_loop(client, model, requests, concurrency, _Span(WARM_UP_REQUESTS * concurrency))
    before = await client.statistics(model)
    start = time.perf_counter()
    latencies = await _closed_loop(
        client, model, requests, concurrency, _Span(_REQUESTS_MIN, start + seconds)
    )
    elapsed = time.perf_counter() - start
    after = await client.statistics(model)
    return _point(batch, concurrency, np.asarray(latencies), elapsed, before, after)


@dataclass(slots=True)
class _Span:
    """How long a loop goes on: until both a number of requests and an instant are reached."""

    requests: int
    until: float = 0.0

    def more(self) -> bool:
        """Whether one more request is to be sent; counts it."""
        self.requests -= 1
        return self.requests >= 0 or time.perf_counter() < self.until


async def _closed_loop(
    client: TritonClient, model: str, requests: Sequence[Prepared], concurrency: int, span: _Span
) -> list[float]:
    """Latencies in seconds of all requests, in the order of their ends."""
    cycle: Iterator[Prepared] = itertools.cycle(requests)
    latencies: list[float] = []

    async def one_client() -> None:
        while span.more():
            start = time.perf_counter()
            await client.ask(model, next(cycle))
            latencies.append(time.perf_counter() - start)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(one_client())
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return latencies


def _requests(inputs: Mapping[str, np.ndarray], batch: int, max_batch: int) -> list[Prepared]:
    """Distinct requests made by walking through the samples, again from the start when they end."""
    samples = min(len(array) for array in inputs.values())
    if samples == 0:
        raise ValueError("no samples: give at least one for each input")
    if max_batch == 0:
        if batch != 1:
            raise ValueError("the model has no batch axis (max_batch_size: 0): only batch 1 exists")
        return [
            prepared({n: a[i] for n, a in inputs.items()}) for i in range(min(samples, _DISTINCT))
        ]
    count = max(1, min(samples // batch, _DISTINCT))
    rows = [np.arange(i * batch, (i + 1) * batch) % samples for i in range(count)]
    return [prepared({name: array[row] for name, array in inputs.items()}) for row in rows]


def _point(
    batch: int,
    concurrency: int,
    latencies: np.ndarray,
    elapsed: float,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
) -> Point:
    p50, p90, p99 = np.quantile(latencies, [0.5, 0.9, 0.99], method="higher")
    count = len(latencies)
    return Point(
        batch=batch,
        concurrency=concurrency,
        requests=count,
        seconds=elapsed,
        mean=float(latencies.mean()),
        p50=float(p50),
        p90=float(p90),
        p99=float(p99),
        throughput=count * batch / elapsed,
        server_seconds=(_spent(after, "success") - _spent(before, "success")) * _NS / count,
        busy_seconds=(_busy(after) - _busy(before)) * _NS / count,
        stages={
            name: (_spent(after, stage) - _spent(before, stage)) * _NS / count
            for name, stage in _STAGES.items()
        },
    )


def _spent(statistics: Mapping[str, Any], stage: str) -> int:
    """Nanoseconds of all requests: those that shared an execution count its time each."""
    return int(statistics["inference_stats"][stage]["ns"])


def _busy(statistics: Mapping[str, Any]) -> int:
    """Nanoseconds of work: an execution counts once, however many requests shared it."""
    stages = ("compute_input", "compute_infer", "compute_output")
    return sum(int(size[stage]["ns"]) for size in statistics["batch_stats"] for stage in stages)


def _growth(before: int | NoData, after: int | NoData) -> int | None:
    if isinstance(before, NoData) or isinstance(after, NoData):
        return None
    return max(0, after - before)
