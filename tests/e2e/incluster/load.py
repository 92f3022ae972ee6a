"""A steady open-loop load on one model through its Service; runs inside the cluster.

    python load.py URL MODEL SAMPLES.npz RATE TAIL

Sends until its input ends, and for TAIL seconds more. Requests go out on schedule whether or not
earlier ones were answered, each over a connection of its own, so that each is routed anew. Every
request is judged twice: raw, by its first attempt, and as a client sees it that repeats a refused
connection, a lost one or a 503 for one second. Prints one JSON object: counts, the longest time
without a right answer, and latencies of first attempts, in seconds.
"""

import asyncio
import json
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

import aiohttp
import numpy as np
import tritonclient.http as triton

RETRY_SECONDS = 1.0
PAUSE_SECONDS = 0.05
TIMEOUT_SECONDS = 5.0
RETRIED = frozenset({"refused", "lost", "503"})
HEADER_LENGTH = "Inference-Header-Content-Length"


@dataclass
class Counts:
    """What became of the requests so far."""

    requests: int = 0
    raw: Counter[str] = field(default_factory=Counter)
    retried: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    last_success: float = field(default_factory=time.monotonic)
    gap: float = 0.0

    def succeeded(self) -> None:
        now = time.monotonic()
        self.gap = max(self.gap, now - self.last_success)
        self.last_success = now


@dataclass(frozen=True)
class Request:
    """One inference call, ready to be sent, and the class that must come back."""

    path: str
    body: bytes
    headers: dict[str, str]
    expected: int


def requests_of(model: str, samples: str) -> list[Request]:
    """One request for each sample of an .npz file with `expected`, the class of each."""
    arrays = dict(np.load(samples, allow_pickle=False))
    expected = arrays.pop("expected")
    return [
        _request(model, {k: v[i : i + 1] for k, v in arrays.items()}, int(e))
        for i, e in enumerate(expected)
    ]


def _request(model: str, arrays: dict[str, np.ndarray], expected: int) -> Request:
    inputs = []
    for name, array in arrays.items():
        given = triton.InferInput(name, array.shape, triton_type(array))
        given.set_data_from_numpy(array)
        inputs.append(given)
    body, length = triton.InferenceServerClient.generate_request_body(inputs)
    headers = {} if length is None else {HEADER_LENGTH: str(length)}
    return Request(f"/v2/models/{model}/infer", body, headers, expected)


def triton_type(array: np.ndarray) -> str:
    """Triton's name of the array's type."""
    return str(triton.np_to_triton_dtype(array.dtype))


async def attempt(session: aiohttp.ClientSession, url: str, request: Request) -> str:
    """One attempt: "ok", "wrong", "refused", "lost", "timeout" or the HTTP status."""
    try:
        async with session.post(
            url + request.path, data=request.body, headers=request.headers
        ) as answer:
            content = await answer.read()
            if answer.status != 200:
                return str(answer.status)
            length = answer.headers.get(HEADER_LENGTH)
    except TimeoutError:
        return "timeout"
    except aiohttp.ClientConnectorError:
        return "refused"
    except (aiohttp.ClientError, ConnectionError):
        return "lost"
    result = triton.InferenceServerClient.parse_response_body(
        content, header_length=int(length) if length else None
    )
    name = result.get_response()["outputs"][0]["name"]
    return "ok" if int(result.as_numpy(name)[0].argmax()) == request.expected else "wrong"


async def ask(call: Callable[[], Awaitable[str]], counts: Counts) -> None:
    """One request with its repetitions, counted both ways."""
    begin = time.monotonic()
    outcome = await call()
    counts.requests += 1
    if outcome == "ok":
        counts.latencies.append(time.monotonic() - begin)
    else:
        counts.raw[outcome] += 1
    while outcome in RETRIED and time.monotonic() - begin < RETRY_SECONDS:
        await asyncio.sleep(PAUSE_SECONDS)
        outcome = await call()
    if outcome == "ok":
        counts.succeeded()
    else:
        counts.retried[outcome] += 1


async def run(url: str, requests: list[Request], rate: float, tail: float) -> Counts:
    """Sends until standard input ends and a little more, then waits for the last answers."""
    loop = asyncio.get_running_loop()
    ended = loop.run_in_executor(None, sys.stdin.read)
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_SECONDS)
    counts, begin, number = Counts(), loop.time(), 0
    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        asyncio.TaskGroup() as group,
    ):
        sys.stderr.write("started\n")
        left = round(tail * rate)
        while left:
            left -= ended.done()
            request = requests[number % len(requests)]
            group.create_task(ask(partial(attempt, session, url, request), counts))
            number += 1
            await asyncio.sleep(begin + number / rate - loop.time())
    counts.gap = max(counts.gap, time.monotonic() - counts.last_success)
    return counts


def main(url: str, model: str, samples: str, rate: str, tail: str) -> None:
    """Prints the counts as JSON."""
    counts = asyncio.run(run(url, requests_of(model, samples), float(rate), float(tail)))
    p50, p99 = np.percentile(counts.latencies or [np.nan], [50, 99])
    summary = {
        "requests": counts.requests, "raw": dict(counts.raw), "retried": dict(counts.retried),
        "gap": round(counts.gap, 3), "p50": float(p50), "p99": float(p99),
    }  # fmt: skip
    sys.stdout.write(json.dumps(summary))


if __name__ == "__main__":
    main(*sys.argv[1:])
