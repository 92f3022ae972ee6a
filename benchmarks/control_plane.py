"""The control plane with 500 models: cold start, memory, time from an edit to its effect."""

import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import aiohttp
import numpy as np
from benchmarks import fleet
from benchmarks.fleet import Api, Fleet
from benchmarks.record import Bench
from tests.support.apiserver import ApiServer, serving
from tests.support.cache import REPOSITORY
from tests.support.process import free_ports

from tightship.api import names

_EDITS = 300
_EDIT_SECONDS = 30.0
_QUIET_SECONDS = 4.0
_LOOK_SECONDS = 0.5
_LIMIT_SECONDS = 180.0
_WRITES = frozenset({"create", "update", "patch", "delete", "deletecollection"})


def run(bench: Bench) -> None:
    """All figures, on an API server of their own."""
    with serving(audit=True) as server:
        asyncio.run(_run(bench, server))


async def _run(bench: Bench, server: ApiServer) -> None:
    async with fleet.api(server) as api:
        await _prepare(api, server)
        async with fleet.fleet(api) as servers:
            note = f"{fleet.MODELS} models, {fleet.SERVERS} servers, API server beside"
            async with _operator(server) as operator:
                writes = await _until_quiet(operator, server)
                await _check(api, servers)
                bench.add(
                    "cold start, everything to be written",
                    round(max(writes.ended) - operator.began, 2), "s",
                    note=f"until the last of {len(writes.ended)} writes; {note}",
                )  # fmt: skip
            async with _operator(server) as operator:
                planned = await operator.planned()
                writes = await _until_quiet(operator, server)
                bench.add(
                    "cold start, everything in place", round(planned, 2), "s",
                    note=f"until every model is planned; {len(writes.ended)} writes",
                )  # fmt: skip
                await _edit(bench, api, servers)
                bench.add(
                    "memory, operator with 500 models", round(operator.memory("VmRSS"), 1), "MiB",
                    spread=f"peak {operator.memory('VmHWM'):.1f}", note="resident, after the edits",
                )  # fmt: skip


async def _prepare(api: Api, server: ApiServer) -> None:
    """The pool's Secret and Deployment as an earlier operator made them, then the models."""
    server.kubectl("create", "namespace", fleet.NAMESPACE)
    await api.apply(fleet.path(names.SERVING_POOLS, fleet.POOL), fleet.pool())
    async with _operator(server) as operator:
        await _until_quiet(operator, server)
    await fleet.create_models(api)


class Operator:
    """A running operator process."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process = process
        self._url = f"http://127.0.0.1:{port}/metrics"
        self.began = time.time()

    async def planned(self) -> float:
        """Seconds from the start until the operator's metrics count every model as ready."""
        async with aiohttp.ClientSession() as session:
            while self.running:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(self._url) as answer:
                        if _ready_models(await answer.text()) == fleet.MODELS:
                            return time.time() - self.began
                await asyncio.sleep(_LOOK_SECONDS / 5)
        raise RuntimeError("the operator ended")

    def memory(self, field: str) -> float:
        """MiB of a field of /proc/PID/status."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith(f"{field}:"))
        return int(line.split()[1]) / 1024

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None


@asynccontextmanager
async def _operator(server: ApiServer) -> AsyncIterator[Operator]:
    (port,) = free_ports(1)
    flags = [
        "--kubeconfig", str(server.kubeconfig), "--lease-namespace", "default",
        "--address", "127.0.0.1", "--port", str(port), "--log-level", "warning",
    ]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "operator")}
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "tightship",
            "run",
            *flags,
            env=environment,
            stderr=log,
            stdout=log,
        )
        try:
            yield Operator(process, port)
        finally:
            process.terminate()
            await process.wait()


def _ready_models(metrics: str) -> int:
    pattern = r'^tightship_models{condition="Ready".*status="True"} (\S+)$'
    return sum(int(float(count)) for count in re.findall(pattern, metrics, re.MULTILINE))


class Writes:
    """The operator's writes in the audit log, Leases apart, read on from where it was read last."""

    def __init__(self, server: ApiServer, since: float) -> None:
        self._file = server.audit.open()
        self._since = since
        self.leads = False
        self.ended: list[float] = []

    def read(self) -> None:
        """Takes in what is new."""
        for line in iter(self._file.readline, ""):
            if '"userAgent":"tightship"' not in line:
                continue
            event = json.loads(line)
            ended = datetime.fromisoformat(event["stageTimestamp"]).timestamp()
            if event["verb"] not in _WRITES or ended < self._since:
                continue
            if event["objectRef"]["resource"] == "leases":
                self.leads = True
            else:
                self.ended.append(ended)


async def _until_quiet(operator: Operator, server: ApiServer) -> Writes:
    """Returns when the operator leads and has not written for a while.

    Raises:
        RuntimeError: the operator ended, or goes on writing.
    """
    writes, quiet_since = Writes(server, operator.began), time.monotonic()
    while time.time() < operator.began + _LIMIT_SECONDS and operator.running:
        before = len(writes.ended)
        await asyncio.sleep(_LOOK_SECONDS)
        writes.read()
        if not writes.leads or len(writes.ended) > before:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since > _QUIET_SECONDS:
            return writes
    raise RuntimeError("the operator ended or did not come to rest")


async def _check(api: Api, servers: Fleet) -> None:
    """Every model is ready, and held by the one server that its resource names."""
    items = (await api.get(fleet.path(names.OPTIMIZED_MODELS)))["items"]
    unready = [
        item["metadata"]["name"]
        for item in items
        if not any(
            c["type"] == "Ready" and c["status"] == "True" for c in item["status"]["conditions"]
        )
    ]
    held = sum(len(double.state.models) for double in servers.doubles.values())
    if len(items) != fleet.MODELS or unready or held != fleet.MODELS:
        raise RuntimeError(f"{len(items)} models, {held} held, not ready: {unready[:5]}")


async def _edit(bench: Bench, api: Api, servers: Fleet) -> None:
    """One edit after the other, each of another model, until a server is told of it."""
    delays = []
    for number in range(_EDITS):
        name = f"model-{number:03}"
        changes = {"spec": {"serving": {"dynamicBatching": {"enabled": False}}}}
        began = time.perf_counter()
        await api.merge(fleet.path(names.OPTIMIZED_MODELS, name), changes)
        await asyncio.wait_for(_told(servers, name), _EDIT_SECONDS)
        delays.append(time.perf_counter() - began)
    p50, p99 = np.percentile(delays, [50, 99]) * 1000
    bench.add(
        "apply p99", round(float(p99), 1), "ms",
        spread=f"p50 {p50:.1f}, max {max(delays) * 1000:.1f}",
        note=f"{_EDITS} edits, each from the request to a server's new assignment",
    )  # fmt: skip


async def _told(servers: Fleet, name: str) -> None:
    """Returns when a server has the model with its new settings: its own, or one with more room."""
    while not any(
        held.name == name and held.config and not held.config.dynamic_batching
        for double in servers.holding(name)
        for held in double.state.models
    ):
        await servers.changed()


def main() -> int:
    """Prints these figures alone."""
    bench = Bench("line")
    run(bench)
    return int(any(figure.ok is False for figure in bench.figures))


if __name__ == "__main__":
    sys.exit(main())
