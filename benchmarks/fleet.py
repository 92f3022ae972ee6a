"""A pool of many models without a kubelet: stand-ins for all but a real API server."""

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import yaml
from tests.support.agent_double import AgentDouble, serving, tls
from tests.support.apiserver import ApiServer
from tests.support.cache import REPOSITORY

from tightship.api import names
from tightship.api.artifact import IntakeResult, Summary
from tightship.api.parse import parse_model
from tightship.api.parse_pool import parse_pool
from tightship.plan import figures, inputs

NAMESPACE = "fleet"
POOL = "shared"
MODELS = 500
SERVERS = 8
USER_AGENT = "tightship-benchmark"
_MODEL_BYTES = 50 * 2**20
_AT_ONCE = 16
_EXAMPLES = REPOSITORY / "examples"

Object = dict[str, Any]


class Api:
    """The API server as its administrator sees it, under a user agent of its own."""

    def __init__(self, server: ApiServer, session: aiohttp.ClientSession) -> None:
        self._server = server
        self._session = session
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def apply(self, path: str, wanted: Object) -> Object:
        """Server-side apply."""
        headers = {"Content-Type": "application/apply-patch+yaml"}
        query = {"fieldManager": "benchmark", "force": "true"}
        return await self._send("PATCH", path, headers, query, wanted)

    async def merge(self, path: str, changes: Object) -> Object:
        """A merge patch."""
        return await self._send(
            "PATCH", path, {"Content-Type": "application/merge-patch+json"}, {}, changes
        )

    async def get(self, path: str) -> Object:
        """One object or list."""
        return await self._send("GET", path, {}, {}, None)

    async def watch(self, path: str, selector: str) -> AsyncIterator[Object]:
        """Every event of a collection, from what there is now on."""
        query = {"watch": "1", "labelSelector": selector}
        url = f"{self._server.url}{path}"
        timeout = aiohttp.ClientTimeout(total=None)
        async with self._session.get(url, params=query, timeout=timeout) as answer:
            answer.raise_for_status()
            async for line in answer.content:
                yield json.loads(line)

    async def _send(
        self, method: str, path: str, headers: Mapping[str, str], query: Mapping[str, str],
        body: Object | None,
    ) -> Object:  # fmt: skip
        data = None if body is None else json.dumps(body)
        async with self._slots, self._session.request(
            method, f"{self._server.url}{path}", params=query, headers=headers, data=data
        ) as answer:  # fmt: skip
            text = await answer.text()
            if not answer.ok:
                raise RuntimeError(f"{method} {path}: {answer.status} {text[:500]}")
            return dict(json.loads(text))


@asynccontextmanager
async def api(server: ApiServer) -> AsyncIterator[Api]:
    """A session for the administrator."""
    context = ssl._create_unverified_context()  # noqa: S323, SLF001 (a throw-away server on loopback)
    headers = {"Authorization": f"Bearer {server.token}", "User-Agent": USER_AGENT}
    connector = aiohttp.TCPConnector(ssl=context, limit=0)
    async with aiohttp.ClientSession(
        connector=connector, headers=headers, read_bufsize=2**24
    ) as session:
        yield Api(server, session)


def pool() -> Object:
    """A pool that needs SERVERS servers for MODELS models."""
    resource = _example("pool", POOL)
    resource["spec"] |= {"minServers": SERVERS, "maxServers": SERVERS}
    resource["spec"]["server"]["resources"]["requests"]["memory"] = "8Gi"
    return resource


def model(number: int) -> Object:
    """One of the models, each with a source of its own."""
    resource = _example("digits", f"model-{number:03}")
    resource["spec"]["model"]["storageUri"] = f"s3://tightship/models/{number:03}/model.onnx"
    return resource


def _example(example: str, name: str) -> Object:
    resource = dict(yaml.safe_load((_EXAMPLES / f"{example}.yaml").read_text()))
    resource["metadata"] = {"name": name, "namespace": NAMESPACE}
    return resource


def finished(resource: Object) -> Object:
    """The status of a model whose conversion has ended, so that nothing is converted again."""
    spec, shared = parse_model(resource["spec"]), parse_pool(pool()["spec"])
    identity = inputs.PoolIdentity(shared)
    source = inputs.digest(resource["metadata"]["name"])
    intake = IntakeResult(
        source_digest=source, source_bytes=_MODEL_BYTES, calibration_digest=source,
        evaluation_digest=source,
    )  # fmt: skip
    key = identity.artifact_key(spec, intake)
    summary = Summary(
        key=key, digest=inputs.digest(key), variant="int8-static", technique="Quantize",
        reason="the fastest inside the gate", bytes_before=4 * 2**20, bytes_after=2**20,
        speedup=2.0,
        p50_before=0.004, p50_after=0.002, p99=0.003, metric="accuracy", metric_before=0.97,
        metric_after=0.97, gate_max_drop=0.01, candidates=8, memory=_MODEL_BYTES, load_seconds=1.0,
        duty_seconds=0.001, max_batch=8,
    )  # fmt: skip
    return {
        "conversion": {
            "inputs": identity.inputs_hash(spec),
            "key": key,
            "sourceDigest": source,
            "calibrationDigest": source,
            "evaluationDigest": source,
        },
        "artifact": figures.artifact_json(summary),
        "optimization": figures.optimization_json(summary, shared.store.uri),
    }


def path(plural: str, name: str = "", subresource: str = "") -> str:
    """The path of our own kinds."""
    parts = ["/apis", names.API_VERSION, "namespaces", NAMESPACE, plural, name, subresource]
    return "/".join(part for part in parts if part)


async def create_models(made: Api) -> None:
    """All models, with their statuses."""

    async def create(number: int) -> None:
        resource = model(number)
        name = resource["metadata"]["name"]
        await made.apply(path(names.OPTIMIZED_MODELS, name), resource)
        # As the operator would have written it: it owns these fields and may remove them.
        status = {**resource, "status": finished(resource)}
        del status["spec"]
        await made.merge(path(names.OPTIMIZED_MODELS, name, "status"), {"status": status["status"]})

    await asyncio.gather(*(create(number) for number in range(MODELS)))


class Server(AgentDouble):
    """An agent double that tells of its changes."""

    def __init__(self, token: str, moved: Callable[[], None]) -> None:
        super().__init__(token)
        self._moved = moved

    def change(self, **fields: object) -> None:
        """As the double's, and tells."""
        super().change(**fields)
        self._moved()


class Fleet:
    """The servers, by their pods' names."""

    def __init__(self, token: str) -> None:
        self._event = asyncio.Event()
        self.doubles = {
            f"{names.servers_name(POOL)}-{number}": Server(token, self._moved)
            for number in range(SERVERS)
        }

    def _moved(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def changed(self) -> None:
        """Returns at the next change of any server."""
        await self._event.wait()

    def holding(self, name: str) -> list[Server]:
        """The servers that are told to hold a model."""
        return [
            double
            for double in self.doubles.values()
            if any(model.name == name for model in double.state.models)
        ]


@asynccontextmanager
async def fleet(made: Api) -> AsyncIterator[Fleet]:
    """SERVERS ready pods, a double behind each, and endpoints that follow the labels."""
    secret = await made.get(
        f"/api/v1/namespaces/{NAMESPACE}/secrets/{names.agent_secret_name(POOL)}"
    )
    data = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    labels = await _template_labels(made)
    servers = Fleet(data["token"])
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        context = tls(data["tls.crt"], data["tls.key"], folder)
        for number, (name, double) in enumerate(servers.doubles.items(), start=1):
            address = f"127.20.0.{number}"
            await stack.enter_async_context(serving(double, context, address))
            await _pod(made, name, address, labels)
        endpoints = asyncio.create_task(_follow_routes(made))
        try:
            yield servers
        finally:
            endpoints.cancel()
            await asyncio.gather(endpoints, return_exceptions=True)


async def _template_labels(made: Api) -> dict[str, str]:
    deployment = f"/apis/apps/v1/namespaces/{NAMESPACE}/deployments/{names.servers_name(POOL)}"
    found = await made.get(deployment)
    return dict(found["spec"]["template"]["metadata"]["labels"])


async def _pod(made: Api, name: str, address: str, labels: Mapping[str, str]) -> None:
    """A pod as the Deployment's controller and the kubelet would have made it."""
    where = f"/api/v1/namespaces/{NAMESPACE}/pods/{name}"
    await made.apply(
        where,
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": dict(labels)},
            "spec": {
                "readinessGates": [{"conditionType": names.PLACED_GATE}],
                "containers": [{"name": "triton", "image": "none"}],
                "nodeName": "node",
            },
        },
    )
    conditions = [
        {"type": kind, "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        for kind in ("Ready", "ContainersReady", "PodScheduled", "Initialized")
    ]
    status = {
        "phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions,
    }  # fmt: skip
    await made.merge(f"{where}/status", {"status": status})


async def _follow_routes(made: Api) -> None:
    """Kubernetes' endpoint controller: a slice for each model that a pod is labelled with."""
    known: dict[str, frozenset[str]] = {}
    where = f"/api/v1/namespaces/{NAMESPACE}/pods"
    async for event in made.watch(where, f"{names.POOL_LABEL}={POOL}"):
        pod = event["object"]
        name = pod["metadata"]["name"]
        routed = frozenset(
            label.removeprefix(names.ROUTE_LABEL_PREFIX)
            for label in pod["metadata"]["labels"]
            if label.startswith(names.ROUTE_LABEL_PREFIX)
        )
        new = routed - known.get(name, frozenset())
        known[name] = routed
        await asyncio.gather(*(_slice(made, model, pod) for model in _sorted(new)))


def _sorted(found: Iterable[str]) -> list[str]:
    return sorted(found)


async def _slice(made: Api, name: str, pod: Object) -> None:
    labels = {
        names.MANAGED_BY_LABEL: names.MANAGED_BY,
        names.POOL_LABEL: POOL,
        names.MODEL_LABEL: name,
        "kubernetes.io/service-name": name,
    }
    target = {"kind": "Pod", "name": pod["metadata"]["name"], "namespace": NAMESPACE}
    endpoint = {
        "addresses": [pod["status"]["podIP"].replace("127.20.", "10.20.", 1)],
        "conditions": {"ready": True, "serving": True, "terminating": False},
        "targetRef": {**target, "uid": pod["metadata"]["uid"]},
    }
    await made.apply(
        f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices/{name}",
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": labels},
            "addressType": "IPv4",
            "endpoints": [endpoint],
            "ports": [{"name": "http", "port": 8000}],
        },
    )
