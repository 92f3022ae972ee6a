"""A real API server keeps every field of what is rendered, and finds the pods restricted."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from tests.support import accelerators, actions
from tests.support.apiserver import ApiServer

from tightship.kube.compare import contains
from tightship.manifests.job import convert_job, evaluate_job, intake_job
from tightship.manifests.server import server_objects
from tightship.manifests.service import model_service
from tightship.manifests.sweep import sweep_objects

_Object = dict[str, Any]


def _on(device: str, space: str) -> list[_Object]:
    """Servers and a conversion on a device."""
    pool = actions.on_device(device)
    servers = replace(actions.servers(full=False), spec=pool)
    key = f"{list(accelerators.TAKEN).index(device):02x}" * 32
    convert = replace(actions.convert(full=False), pool_spec=pool, key=key)
    return [*server_objects(servers, space), convert_job(convert, space)]


RENDERED: dict[str, Callable[[str], list[_Object]]] = {
    "servers-minimal": lambda space: server_objects(actions.servers(full=False), space),
    "servers-full": lambda space: server_objects(actions.servers(full=True), space),
    **{f"device-{name}": partial(_on, name) for name in accelerators.TAKEN},
    "intake-minimal": lambda space: [intake_job(actions.intake(full=False), space)],
    "intake-full": lambda space: [intake_job(actions.intake(full=True), space)],
    "convert-minimal": lambda space: [convert_job(actions.convert(full=False), space)],
    "convert-full": lambda space: [convert_job(actions.convert(full=True), space)],
    "evaluate-full": lambda space: [evaluate_job(actions.evaluate(full=True), space)],
    "service": lambda space: [model_service(actions.service(), space)],
    "sweep-minimal": lambda space: sweep_objects(actions.sweep(full=False), space),
    "sweep-full": lambda space: sweep_objects(actions.sweep(full=True), space),
}
WITH_PODS = [name for name in RENDERED if name != "service"]


@pytest.fixture(scope="module")
def restricted(apiserver: ApiServer) -> str:
    """A namespace that refuses every pod that is not `restricted`."""
    name = "restricted"
    apiserver.kubectl("create", "namespace", name)
    level = "pod-security.kubernetes.io/enforce"
    apiserver.kubectl("label", "namespace", name, f"{level}=restricted", f"{level}-version=latest")
    return name


def _apply(apiserver: ApiServer, value: _Object) -> _Object:
    answer = apiserver.kubectl(
        *("apply", "--server-side", "--field-manager=tightship", "--force-conflicts"),
        *("--validate=strict", "--output=json", "--filename=-"),
        stdin=json.dumps(value),
    )
    live: _Object = json.loads(answer)
    return live


def _pod(value: _Object, namespace: str) -> _Object:
    spec = value["spec"]
    template = spec.get("jobTemplate", {"spec": spec})["spec"]["template"]
    metadata = {**template["metadata"], "name": "case", "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def _create(apiserver: ApiServer, pod: _Object) -> str:
    return apiserver.kubectl("create", "--dry-run=server", "--filename=-", stdin=json.dumps(pod))


@pytest.mark.parametrize("name", RENDERED)
def test_the_api_server_keeps_every_field(apiserver: ApiServer, restricted: str, name: str) -> None:
    for wanted in RENDERED[name](restricted):
        first, second = _apply(apiserver, wanted), _apply(apiserver, wanted)
        assert contains(first, wanted)
        assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


@pytest.mark.parametrize("name", WITH_PODS)
def test_pods_are_restricted(apiserver: ApiServer, restricted: str, name: str) -> None:
    value = RENDERED[name](restricted)[-1]
    assert "pod/case created" in _create(apiserver, _pod(value, restricted))


@pytest.mark.parametrize("name", WITH_PODS)
def test_the_namespace_refuses_a_pod_that_is_not(
    apiserver: ApiServer, restricted: str, name: str
) -> None:
    pod = _pod(RENDERED[name](restricted)[-1], restricted)
    pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(subprocess.CalledProcessError) as refused:
        _create(apiserver, pod)
    assert "violates PodSecurity" in refused.value.stderr
