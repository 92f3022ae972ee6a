"""Open-loop traffic with Poisson arrivals on several models at once; runs inside the cluster.

    python poisson.py PLAN.json

PLAN.json: {"seed": N, "warmUp": SECONDS, "seconds": SECONDS, "models": [{"name", "url", "samples",
"rate"}]}. Requests go out at random instants that were drawn before, whether or not earlier ones
were answered, over connections that are kept. A latency counts from the instant at which the
request was to be sent, so that what the client was late by is in it; those of the warm-up are left
out. A request that fails is sent once more over a new connection, as a client of a Service has to:
a kept one leads to a server that the model may have left. Prints one JSON object: by model
`latencies` in seconds, `retried` and `failures` by kind, then `late`, the 99th percentile of what
requests went out too late by, and `processor`, the share of a core that the client took.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import tritonclient.http as triton

TIMEOUT_SECONDS = 10.0
HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass
class Target:
    """One model: its requests, ready to be sent, and what became of them."""

    name: str
    url: str
    bodies: list[bytes]
    headers: dict[str, str]
    latencies: list[float] = field(default_factory=list)
    late: list[float] = field(default_factory=list)
    retried: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)


def target(name: str, url: str, samples: str) -> Target:
    """A model's requests of one sample each."""
    arrays = dict(np.load(samples, allow_pickle=False))
    made = [
        _body({n: a[i : i + 1] for n, a in arrays.items()})
        for i in range(len(next(iter(arrays.values()))))
    ]
    length = {} if made[0][1] is None else {HEADER_LENGTH: str(made[0][1])}
    headers = {"Accept-Encoding": "identity", **length}
    return Target(name, f"{url}/v2/models/{name}/infer", [body for body, _ in made], headers)


def _body(arrays: dict[str, Any]) -> tuple[bytes, int | None]:
    inputs = []
    for name, array in arrays.items():
        given = triton.InferInput(name, array.shape, triton.np_to_triton_dtype(array.dtype))
        given.set_data_from_numpy(array)
        inputs.append(given)
    body, length = triton.InferenceServerClient.generate_request_body(inputs)
    return bytes(body), length


def schedule(rates: list[float], seconds: float, seed: int) -> list[tuple[float, int]]:
    """(second, model) of every request, in order: independent Poisson processes."""
    draw = np.random.default_rng(seed)
    arrivals = [
        (float(at), number)
        for number, rate in enumerate(rates)
        for at in np.sort(draw.uniform(0, seconds, draw.poisson(rate * seconds)))
    ]
    return sorted(arrivals)


@dataclass
class Sessions:
    """Connections that are kept, and ones for a single request."""

    kept: aiohttp.ClientSession
    single: aiohttp.ClientSession


async def ask(sessions: Sessions, model: Target, number: int, due: float) -> float | None:
    """One request, twice where it must; returns its latency from `due`, None for a failed one."""
    body = model.bodies[number % len(model.bodies)]
    for session, failed in ((sessions.kept, model.retried), (sessions.single, model.failures)):
        kind = await _failure(session, model, body)
        if kind is None:
            return time.monotonic() - due
        failed[kind] += 1
    return None


async def _failure(session: aiohttp.ClientSession, model: Target, body: bytes) -> str | None:
    """The kind of failure, None where the answer is there; its connection is not used again."""
    try:
        async with session.post(model.url, data=body, headers=model.headers) as answer:
            await answer.read()
            if answer.status == 200:
                return None
            answer.close()
            return str(answer.status)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return type(error).__name__


async def one(sessions: Sessions, model: Target, number: int, due: float, *, counts: bool) -> None:
    """One request that is sent now, and kept if it counts and succeeds."""
    late = time.monotonic() - due
    latency = await ask(sessions, model, number, due)
    if counts and latency is not None:
        model.latencies.append(latency)
        model.late.append(late)


async def run(models: list[Target], plan: dict[str, Any]) -> None:
    """Sends everything on schedule, then waits for the last answers."""
    rates = [float(model["rate"]) for model in plan["models"]]
    arrivals = schedule(rates, plan["warmUp"] + plan["seconds"], plan["seed"])
    keeping = aiohttp.TCPConnector(limit=0, keepalive_timeout=TIMEOUT_SECONDS)
    closing = aiohttp.TCPConnector(limit=0, force_close=True)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    async with (
        aiohttp.ClientSession(connector=keeping, timeout=timeout) as kept,
        aiohttp.ClientSession(connector=closing, timeout=timeout) as single,
        asyncio.TaskGroup() as group,
    ):
        sessions = Sessions(kept, single)
        begin = time.monotonic()
        for number, (at, which) in enumerate(arrivals):
            await asyncio.sleep(begin + at - time.monotonic())
            counts = at >= plan["warmUp"]
            group.create_task(one(sessions, models[which], number, begin + at, counts=counts))


def main(file: str) -> None:
    """Prints what was seen."""
    plan = json.loads(Path(file).read_text())
    models = [target(m["name"], m["url"], m["samples"]) for m in plan["models"]]
    begin, used = time.monotonic(), time.process_time()
    asyncio.run(run(models, plan))
    share = (time.process_time() - used) / (time.monotonic() - begin)
    late = [second for model in models for second in model.late]
    seen = {
        model.name: {
            "latencies": [round(latency, 5) for latency in model.latencies],
            "retried": dict(model.retried),
            "failures": dict(model.failures),
        }
        for model in models
    }
    told = {"models": seen, "late": float(np.percentile(late or [np.nan], 99)), "processor": share}
    sys.stdout.write(json.dumps(told))


if __name__ == "__main__":
    main(*sys.argv[1:])
