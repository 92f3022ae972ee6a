"""The real plan on a real API server; pods, Jobs, endpoints and agents are stood in for."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.controller.harness import (
    apply,
    eventually,
    model,
    namespace,
    operating,
    pool,
)
from tests.support.agent_double import AgentDouble, serving, tls
from tests.support.apiserver import ApiServer
from tests.support.apiserver import serving as serving_apiserver
from tests.support.cache import REPOSITORY
from tests.support.mimic import Mimic
from tests.support.process import free_ports

from tightship.api import names
from tightship.plan.plan import plan

HOLD_SECONDS = 30


class Line:
    """A namespace with a cluster's stand-ins at work in it."""

    def __init__(self, apiserver: ApiServer, where: str, mimic: Mimic, port: int) -> None:
        self.server = apiserver
        self.where = where
        self.mimic = mimic
        self.port = port
        self.doubles: dict[str, AgentDouble] = {}

    def read(self, *arguments: str) -> Any:  # noqa: ANN401 (JSON)
        text = self.server.kubectl("-n", self.where, "get", *arguments, "-o", "json")
        return json.loads(text)

    def ready(self, name: str) -> bool:
        conditions = self.read("om", name).get("status", {}).get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    async def until_ready(self, *models: str) -> None:
        await eventually(lambda: all(self.ready(name) for name in models), f"{models} are ready")

    def reason(self, name: str) -> str:
        conditions = self.read("om", name).get("status", {}).get("conditions", [])
        return next((str(c["reason"]) for c in conditions if c["type"] == "Ready"), "")


@asynccontextmanager
async def line(apiserver: ApiServer, folder: Path, subnet: int) -> AsyncIterator[Line]:
    """Stand-ins for everything but API server and operator; agents answer on 127.SUBNET.0.N."""
    where = namespace(apiserver)
    (port,) = free_ports(1)
    mimic = Mimic(apiserver, where, lambda number: f"127.{subnet}.0.{number}")
    async with mimic.working(), AsyncExitStack() as stack:
        found = Line(apiserver, where, mimic, port)
        task = asyncio.create_task(_agents(found, stack, folder, subnet))
        try:
            yield found
        finally:
            task.cancel()
            await asyncio.wait({task})


async def _agents(found: Line, stack: AsyncExitStack, folder: Path, subnet: int) -> None:
    """Agents for the first servers, as soon as their pool has its Secret."""
    data: dict[str, str] = {}
    while not data:
        secrets = await found.mimic.items("v1/secrets")
        data = next((s["data"] for s in secrets if s["metadata"]["name"].endswith("-agent")), {})
        await asyncio.sleep(0.05)
    plain = {name: base64.b64decode(value).decode() for name, value in data.items()}
    context = tls(plain["tls.crt"], plain["tls.key"], folder)
    for number in range(1, 4):
        double = AgentDouble(plain["token"])
        host = f"127.{subnet}.0.{number}"
        await stack.enter_async_context(serving(double, context, host, found.port))
        found.doubles[host] = double
    await asyncio.Event().wait()


async def test_from_source_to_service(apiserver: ApiServer, tmp_path: Path) -> None:
    async with (
        line(apiserver, tmp_path, 11) as found,
        operating(apiserver.kubeconfig, plan, namespaces=(found.where,), agent_port=found.port),
    ):
        apply(apiserver, found.where, pool(maxServers=2), model("a"), model("b"))
        await found.until_ready("a", "b")
        (held,) = [d for d in found.doubles.values() if d.state.models]
        assert {m.name for m in held.state.models} == {"a", "b"}
        slices = found.read("endpointslices")["items"]
        assert all(s["endpoints"] for s in slices if s["metadata"]["name"] in ("a", "b"))
        apiserver.kubectl("-n", found.where, "delete", "om", "a")
        await eventually(
            lambda: {m.name for m in held.state.models} == {"b"}, "the model leaves its server"
        )


async def test_what_others_change_is_set_back(apiserver: ApiServer, tmp_path: Path) -> None:
    async with (
        line(apiserver, tmp_path, 12) as found,
        operating(apiserver.kubeconfig, plan, namespaces=(found.where,), agent_port=found.port),
    ):
        apply(apiserver, found.where, pool(), model("a"))
        await found.until_ready("a")
        kubectl = apiserver.kubectl
        changes = '{"spec":{"selector":{"tightship.dev/pool":"hijacked"}}}'
        kubectl("-n", found.where, "patch", "service", "a", "-p", changes)
        kubectl("-n", found.where, "delete", "pdb", "pool-shared")
        status = '{"status":{"conditions":[]}}'
        patch = ["patch", "om", "a", "--subresource=status", "--type=merge", "-p", status]
        kubectl("-n", found.where, *patch)

        await eventually(
            lambda: found.read("service", "a")["spec"]["selector"][names.POOL_LABEL] == "shared",
            "the selector is set back",
        )
        await eventually(lambda: len(found.read("pdb")["items"]) == 1, "the budget is made anew")
        await found.until_ready("a")


async def test_a_strangers_service_is_never_taken(apiserver: ApiServer, tmp_path: Path) -> None:
    async with (
        line(apiserver, tmp_path, 13) as found,
        operating(apiserver.kubeconfig, plan, namespaces=(found.where,), agent_port=found.port),
    ):
        apiserver.kubectl("-n", found.where, "create", "service", "externalname", "a",
                          "--external-name=example.com")  # fmt: skip
        before = found.read("service", "a")
        apply(apiserver, found.where, pool(), model("a"), model("b"))
        await eventually(lambda: found.reason("a") == "ServiceConflict", "the status tells it")
        await found.until_ready("b")
        after = found.read("service", "a")
        assert after == before


async def test_at_rest_nothing_is_written(tmp_path: Path) -> None:
    """Counted at the server, over four renewals of the Lease."""
    with serving_apiserver(audit=True) as server:
        async with (
            line(server, tmp_path, 14) as found,
            operating(
                server.kubeconfig,
                plan,
                namespaces=(found.where,),
                agent_port=found.port,
                lease_duration=6,
            ),
        ):
            apply(server, found.where, pool(), *(model(f"m{number}") for number in range(10)))
            await found.until_ready(*(f"m{number}" for number in range(10)))
            renewals = len(writes(server, "leases"))
            settled = len(writes(server))
            await eventually(lambda: len(writes(server, "leases")) >= renewals + 2, "it settles")
            renewals, settled = len(writes(server, "leases")), len(writes(server))
            await eventually(lambda: len(writes(server, "leases")) >= renewals + 4, "it renews")
            assert writes(server)[settled:] == []


def writes(server: ApiServer, resource: str | None = None) -> list[str]:
    """The operator's writes in the audit log; of one resource, or of all but Leases."""
    found = []
    for text in server.audit.read_text().splitlines():
        if '"userAgent":"tightship"' not in text:
            continue
        event = json.loads(text)
        kind = event["objectRef"]["resource"]
        wanted = kind == resource if resource else kind != "leases"
        if wanted and event["verb"] not in ("get", "list", "watch"):
            found.append(f"{event['verb']} {kind} {event['objectRef'].get('name')}")
    return found


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_another_process_takes_over(
    end: signal.Signals, apiserver: ApiServer, tmp_path: Path
) -> None:
    subnet = 20 + end
    async with line(apiserver, tmp_path, subnet) as found:
        with process(apiserver, found) as first:
            apply(apiserver, found.where, pool(), model("a"))
            await found.until_ready("a")
            with process(apiserver, found):
                first.send_signal(end)
                apply(apiserver, found.where, model("b"))
                await found.until_ready("b")
                fences = [d.state.fence for d in found.doubles.values() if d.puts]
                assert [fence.transitions for fence in fences] == [1]
        assert found.ready("a")


class process:  # noqa: N801 (used as a function)
    """An operator process of this namespace."""

    def __init__(self, apiserver: ApiServer, found: Line) -> None:
        flags = {
            "--kubeconfig": str(apiserver.kubeconfig),
            "--namespaces": found.where,
            "--lease-namespace": found.where,
            "--lease-duration": "6",
            "--address": "127.0.0.1",
            "--port": str(free_ports(1)[0]),
            "--log-level": "error",
        }
        arguments = [part for pair in flags.items() for part in pair]
        code = "import sys; from tests.integration.controller.operator_process import main; main()"
        environment = {
            **os.environ,
            "PYTHONPATH": f"{REPOSITORY / 'operator'}:{REPOSITORY}",
            "AGENT_PORT": str(found.port),
        }
        self._popen = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, *arguments], env=environment
        )

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self._popen

    def __exit__(self, *_: object) -> None:
        self._popen.terminate()
        self._popen.wait(20)
