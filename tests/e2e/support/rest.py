"""The operator at rest: what it asks of the API server, and what it uses."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.e2e.support import deployment, writes
from tests.e2e.support.cluster import Cluster
from tests.e2e.support.kubectl import Kubectl
from tests.e2e.support.workspace import Workspace

_MODELS = 10
_SETTLED_SECONDS = 15.0
_SETTLES = 12
_OPERATORS = ("-l", "app.kubernetes.io/name=tightship", "--tail=-1")


@dataclass(frozen=True)
class Quiet:
    """Ten served models and a counter of requests."""

    workspace: Workspace
    counter: writes.Counter


@dataclass(frozen=True)
class Rest:
    """What was seen: requests, CPU as a share of one core, resident bytes, the operator's log."""

    requests: writes.Requests
    cpu: float
    memory: float
    log: str


class RestlessError(AssertionError):
    """The operator goes on writing though nothing changes."""


@contextmanager
def ten_models(cluster: Cluster, namespace: str) -> Iterator[Quiet]:
    """Ten models served from one artifact, in a namespace of their own."""
    workspace = Workspace(cluster, namespace)
    workspace.create()
    names = [f"digits-{number}" for number in range(_MODELS)]
    try:
        for name in names:
            workspace.apply_model(name)
        workspace.wait_ready(*names)
        account, system = deployment.ACCOUNT, deployment.NAMESPACE
        with writes.counted(cluster.kubectl, account, system, namespace) as counter:
            yield Quiet(workspace, counter)
    finally:
        workspace.delete()


def observe(quiet: Quiet, *, seconds: float) -> Rest:
    """Waits until writes have ended, then watches for `seconds`.

    Raises:
        RestlessError: writes do not end.
    """
    kubectl = quiet.workspace.kubectl
    _settle(quiet.counter)
    requests, used = quiet.counter.read(), _cpu_seconds(kubectl)
    _pass(seconds)
    after = quiet.counter.read().since(requests)
    cpu = (_cpu_seconds(kubectl) - used) / seconds
    log = kubectl("logs", "-n", deployment.NAMESPACE, *_OPERATORS, f"--since={seconds + 5:.0f}s")
    return Rest(after, cpu, metric(kubectl, "process_resident_memory_bytes"), log)


def _settle(counter: writes.Counter) -> None:
    for _ in range(_SETTLES):
        before = counter.read()
        _pass(_SETTLED_SECONDS)
        if counter.read().since(before).writes == 0:
            return
    raise RestlessError(f"the operator still writes after {_SETTLES * _SETTLED_SECONDS:g} s")


def _pass(seconds: float) -> None:
    """Lets time pass: here the passing of time is what is tested, no event is waited for."""
    threading.Event().wait(seconds)


def _cpu_seconds(kubectl: Kubectl) -> float:
    return metric(kubectl, "process_cpu_seconds_total")


def metric(kubectl: Kubectl, name: str) -> float:
    """A metric of the operator that leads."""
    pods = kubectl.listed("pods", deployment.NAMESPACE, "app.kubernetes.io/name=tightship")
    for pod in pods:
        proxy = f"pods/{pod['metadata']['name']}:8080/proxy/metrics"
        path = f"/api/v1/namespaces/{deployment.NAMESPACE}/{proxy}"
        found = re.search(rf"^{name} (\S+)$", kubectl("get", "--raw", path), re.MULTILINE)
        if found:
            return float(found.group(1))
    raise LookupError(f"the operator has no metric {name}")
