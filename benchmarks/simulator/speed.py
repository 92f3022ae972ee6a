"""Requests that the simulator runs in a second of one core."""

import time
from collections.abc import Callable
from statistics import median

import numpy as np
from benchmarks.record import Bench
from tests.support import plain_simulator

from tightship.simulate.arrivals import Routing, streams
from tightship.simulate.attainment import attained
from tightship.simulate.device import Sharing, run
from tightship.simulate.tenants import Tenants, linear, tenants

REPEATS = 7
REQUESTS = 1_000_000
PLAIN_REQUESTS = 20_000
FLEET, MODELS_EACH = 100, 12
LOAD = 0.6


def device(models: int, devices: int = 1) -> Tenants:
    """Devices at LOAD if all batches were full, with models of 2 to 20 ms."""
    rng = np.random.default_rng(0)
    count = models * devices
    alpha = rng.uniform(0.002, 0.01, count)
    curves = linear(alpha, alpha / 8, 8)
    return tenants(
        device=np.repeat(np.arange(devices), models),
        rate=LOAD / models * 8 / curves[:, -1],
        slo=0.1,
        curves=curves,
        max_batch=8,
        delay=0.002,
    )


def measure(bench: Bench) -> None:
    """Adds the figures; processor time, so that other work on the machine hardly shows."""
    attained(device(1), seconds=1)  # compiles, or loads what was compiled
    for models in (1, 16, 64):
        for sharing in (Sharing(), Sharing(exclusive=True)):
            _add_device(bench, models, sharing)
    _add_fleet(bench)
    _add_plain(bench)


def _add_device(bench: Bench, models: int, sharing: Sharing) -> None:
    asked = device(models)
    until = REQUESTS / float(asked.rate.sum())
    arrivals = streams(asked, until, 0, Routing.RANDOM)
    count = sum(len(one) for one in arrivals)
    rates = _rates(lambda: _done(asked, arrivals, sharing, until), count)
    kind = "in turns" if sharing.exclusive else "side by side"
    _add(
        bench, f"requests/s, {models} model{'s' * (models > 1)} {kind}", rates, f"{count} requests"
    )


def _add_fleet(bench: Bench) -> None:
    asked = device(MODELS_EACH, FLEET)
    seconds = 2 * REQUESTS / float(asked.rate.sum())
    count = int(attained(asked, seconds=seconds).offered.sum())
    rates = _rates(lambda: attained(asked, seconds=seconds), count)
    note = f"{len(asked)} models on {FLEET} devices; arrivals and percentiles included"
    _add(bench, "requests/s, whole fleet", rates, note)


def _add_plain(bench: Bench) -> None:
    asked = device(16)
    until = PLAIN_REQUESTS / float(asked.rate.sum())
    arrivals = streams(asked, until, 0, Routing.RANDOM)
    count = sum(len(one) for one in arrivals)
    compiled = median(_rates(lambda: _done(asked, arrivals, Sharing(), until), count))
    begin = time.process_time()
    plain = plain_simulator.run(asked, arrivals, Sharing(), until)
    ratio = compiled * (time.process_time() - begin) / count
    found = run(asked, arrivals, Sharing(), (0.0, until), until).latencies
    worst = max(np.abs(mine - other).max() for mine, other in zip(found, plain, strict=True))
    bench.add("times as fast as plain Python", round(ratio), "x", note=f"{count} requests")
    bench.add("largest difference from plain Python", float(worst), "s", note="of any latency")


def _done(asked: Tenants, arrivals: list[np.ndarray], sharing: Sharing, until: float) -> None:
    run(asked, arrivals, sharing, (0.0, until), until)


def _rates(work: Callable[[], object], count: int) -> list[float]:
    found = []
    for _ in range(REPEATS):
        begin = time.process_time()
        work()
        found.append(count / (time.process_time() - begin))
    return found


def _add(bench: Bench, name: str, rates: list[float], note: str) -> None:
    spread = f"{min(rates) / 1e6:.2f} to {max(rates) / 1e6:.2f}"
    bench.add(name, round(median(rates) / 1e6, 2), "M/s", spread=spread, note=note)
