"""Stands in for controllers and kubelets: pods of Deployments, slices of Services."""

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import aiohttp
from tests.support.apiserver import ApiServer
from tests.support.summaries import evaluated, summary

from tightship.api import names
from tightship.api.artifact import IntakeResult
from tightship.api.job import answer

Object = dict[str, Any]

_PACE = 0.1  # seconds between two looks


class Mimic:
    """Looks at a namespace again and again, and does what a cluster would.

    `address` gives the IP of a new pod by its number; pods are running from their first moment and
    ready as soon as their readiness gates are.
    """

    def __init__(self, apiserver: ApiServer, namespace: str, address: Callable[[int], str]) -> None:
        self._server = apiserver
        self._namespace = namespace
        self._address = address
        self.jobs_succeed = True
        self.content = ""  # of all sources; another one has another digest
        self.measured = 0.97  # what evaluations find
        self._working = True
        self._numbers = 0
        self._session: aiohttp.ClientSession | None = None
        self._slices: dict[str, tuple[tuple[str, str], ...]] = {}

    @asynccontextmanager
    async def working(self) -> AsyncIterator["Mimic"]:
        connector = aiohttp.TCPConnector(limit=8, ssl=_trusting())
        headers = {"Authorization": f"Bearer {self._server.token}"}
        async with aiohttp.ClientSession(connector=connector, headers=headers) as session:
            self._session = session
            task = asyncio.create_task(self._work())
            try:
                yield self
            finally:
                self._working = False
                await task

    async def items(self, kind: str) -> list[Object]:
        """All objects of a kind, such as `apps/v1/deployments`."""
        answer = await self.request("GET", kind)
        items: list[Object] = answer["items"]
        return items

    async def request(
        self, method: str, path: str, body: Object | None = None, patch: str = "merge-patch"
    ) -> Object:
        """A request below the namespace; `path` is KIND, KIND/NAME or KIND/NAME/SUBRESOURCE."""
        group, version, rest = _split(path)
        root = f"/apis/{group}/{version}" if group else f"/api/{version}"
        content = f"application/{patch}+json" if method == "PATCH" else "application/json"
        assert self._session is not None
        async with self._session.request(
            method,
            f"{self._server.url}{root}/namespaces/{self._namespace}/{rest}",
            json=body,
            headers={"Content-Type": content},
        ) as answer:
            answer.raise_for_status()
            value: Object = await answer.json()
            return value

    async def _work(self) -> None:
        while self._working:
            for deployment in await self.items("apps/v1/deployments"):
                await self._pods(deployment, await self.items("v1/pods"))
            pods = await self.items("v1/pods")  # without those that were deleted just now
            for pod in pods:
                await self._ready(pod)
            for job in await self.items("batch/v1/jobs"):
                await self._finish(job)
            services = await self.items("v1/services")
            await asyncio.gather(*(self._slice(service, pods) for service in services))
            await asyncio.sleep(_PACE)

    async def _pods(self, deployment: Object, pods: list[Object]) -> None:
        uid, spec = deployment["metadata"]["uid"], deployment["spec"]
        mine = [pod for pod in pods if _owner(pod) == uid]
        for _ in range(spec["replicas"] - len(mine)):
            await self._start(deployment)
        for pod in mine[spec["replicas"] :]:
            await self.request("DELETE", f"v1/pods/{pod['metadata']['name']}?gracePeriodSeconds=0")

    async def _start(self, deployment: Object) -> None:
        self._numbers += 1
        name = f"{deployment['metadata']['name']}-{self._numbers}"
        template = deployment["spec"]["template"]
        owner = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": deployment["metadata"]["name"],
            "uid": deployment["metadata"]["uid"],
        }
        metadata = {**template["metadata"], "name": name, "ownerReferences": [owner]}
        gates = template["spec"].get("readinessGates")
        spec = {"containers": [{"name": "c", "image": "i"}], "readinessGates": gates or []}
        await self.request("POST", "v1/pods", {"metadata": metadata, "spec": spec})
        address = self._address(self._numbers)
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}
        await self.request("PATCH", f"v1/pods/{name}/status", {"status": status})

    async def _ready(self, pod: Object) -> None:
        conditions = {c["type"]: c["status"] for c in pod["status"].get("conditions") or ()}
        gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or ()]
        wanted = "True" if all(conditions.get(gate) == "True" for gate in gates) else "False"
        if not pod["status"].get("podIP") or conditions.get("Ready") == wanted:
            return
        condition = {
            "type": "Ready",
            "status": wanted,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        path = f"v1/pods/{pod['metadata']['name']}/status"
        body = {"status": {"conditions": [condition]}}
        await self.request("PATCH", path, body, "strategic-merge-patch")

    async def _finish(self, job: Object) -> None:
        """Every Job succeeds at once, with a result that fits its kind."""
        if job["status"].get("conditions") or not self.jobs_succeed:
            return
        name, template = job["metadata"]["name"], job["spec"]["template"]
        kind = job["metadata"]["labels"][names.COMPONENT_LABEL]
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": name,
            "uid": job["metadata"]["uid"],
        }
        pod = f"{name}-{owner['uid'][:8]}"  # a Job of the same name may have been here before
        metadata = {**template["metadata"], "name": pod, "ownerReferences": [owner]}
        spec = {"containers": [{"name": "c", "image": "i"}], "restartPolicy": "Never"}
        await self.request("POST", "v1/pods", {"metadata": metadata, "spec": spec})
        ended = {
            "name": _MAIN[kind],
            "image": "i",
            "imageID": "i",
            "ready": False,
            "restartCount": 0,
            "state": {"terminated": {**_ENDED, "message": self._result(job, kind)}},
        }
        status = {"phase": "Succeeded", "containerStatuses": [ended]}
        await self.request("PATCH", f"v1/pods/{pod}/status", {"status": status})
        await self.request("PATCH", f"batch/v1/jobs/{name}/status", {"status": _complete()})

    def _result(self, job: Object, kind: str) -> str:
        inputs = job["metadata"]["annotations"][names.INPUTS_LABEL]
        if kind == "convert":
            return answer(summary(inputs, digest=inputs[::-1]).to_json())
        if kind == "evaluate":
            return answer(evaluated(inputs, self.measured).to_json())
        digest = hashlib.sha256((inputs + self.content).encode()).hexdigest()
        return answer(IntakeResult(source_digest=digest, source_bytes=1).to_json())

    async def _slice(self, service: Object, pods: list[Object]) -> None:
        name, selector = service["metadata"]["name"], service["spec"].get("selector")
        if not selector:
            return
        members = tuple(
            (pod["metadata"]["name"], pod["status"]["podIP"])
            for pod in pods
            if selector.items() <= pod["metadata"].get("labels", {}).items()
            and pod["status"].get("podIP")
            and _is_ready(pod)
        )
        if self._slices.get(name) == members:
            return
        body = _slice(service, members)
        if name in self._slices:
            await self.request("PUT", f"discovery.k8s.io/v1/endpointslices/{name}", body)
        else:
            await self.request("POST", "discovery.k8s.io/v1/endpointslices", body)
        self._slices[name] = members


_NOW = "2026-01-01T00:00:00Z"
_MAIN = {
    "intake": "inspect",
    "refresh": "inspect",
    "convert": "publish",
    "evaluate": "evaluate",
}
_ENDED = {"exitCode": 0, "startedAt": _NOW, "finishedAt": _NOW}


def _complete() -> Object:
    started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    condition = {"status": "True", "lastTransitionTime": started, "lastProbeTime": started}
    return {
        "startTime": started,
        "completionTime": started,
        "succeeded": 1,
        "uncountedTerminatedPods": {},
        "conditions": [{**condition, "type": kind} for kind in ("SuccessCriteriaMet", "Complete")],
    }


def _slice(service: Object, members: tuple[tuple[str, str], ...]) -> Object:
    labels = {
        **service["metadata"].get("labels", {}),
        "kubernetes.io/service-name": service["metadata"]["name"],
    }
    # The API server takes no loopback addresses in slices; nobody connects to these.
    endpoints = [
        {
            "addresses": [ip.replace("127.", "10.", 1)],
            "conditions": {"ready": True},
            "targetRef": {"kind": "Pod", "name": name},
        }
        for name, ip in members
    ]
    return {
        "metadata": {"name": service["metadata"]["name"], "labels": labels},
        "addressType": "IPv4",
        "endpoints": endpoints,
    }


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod["status"].get("conditions") or ()
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _owner(pod: Mapping[str, Any]) -> str:
    owners = pod["metadata"].get("ownerReferences") or [{"uid": ""}]
    return str(owners[0]["uid"])


def _split(path: str) -> tuple[str, str, str]:
    first, _, rest = path.partition("/")
    if first == "v1":
        return "", first, rest
    version, _, rest = rest.partition("/")
    return first, version, rest


def _trusting() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
