"""What a pool's device is in a pod, mode by mode, and that capacity counts where pods may go."""

from dataclasses import replace
from typing import Any

import pytest
from tests.support import accelerators, actions

from tightship.manifests import device
from tightship.manifests.job import convert_job, intake_job
from tightship.plan import nodes
from tightship.plan.snapshot import NodeFact

GPU = "nvidia.com/gpu"

ASKED: dict[str, dict[str, str]] = {
    "whole": {GPU: "1"},
    "whole-amd": {"amd.com/gpu": "1"},
    "mig": {"nvidia.com/mig-1g.10gb.me": "1"},
    "mig-single": {GPU: "1"},
    "mps": {GPU: "1"},
    "time-slicing": {"nvidia.com/gpu.shared": "1"},
    "dra": {},
    "hami": {GPU: "1", "nvidia.com/gpumem": "3584", "nvidia.com/gpucores": "30"},
}
LABELS: list[dict[str, str]] = [
    {},
    {nodes.STRATEGY_LABEL: "none", nodes.REPLICAS_LABEL: "1"},
    {nodes.STRATEGY_LABEL: "mps", nodes.REPLICAS_LABEL: "4"},
    {nodes.STRATEGY_LABEL: "mps", nodes.REPLICAS_LABEL: "2"},
    {nodes.STRATEGY_LABEL: "time-slicing", nodes.REPLICAS_LABEL: "2"},
    {nodes.MIG_LABEL: "single", nodes.SLICES_LABEL: "3"},
    {nodes.MIG_LABEL: "single", nodes.SLICES_LABEL: "1"},
    {nodes.MIG_LABEL: "mixed"},
]


@pytest.mark.parametrize("name", accelerators.TAKEN)
def test_what_a_server_asks_for(name: str) -> None:
    assert device.requests(actions.on_device(name).accelerator) == ASKED[name]


def test_limits_of_mps() -> None:
    wanted = actions.on_device("mps").accelerator
    assert wanted is not None
    memory = {"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": "0=5632M"}
    assert device.environment(wanted) == memory | {"CUDA_MPS_ACTIVE_THREAD_PERCENTAGE": "20"}
    assert device.environment(replace(wanted, compute_percent=None)) == memory


def test_hami_without_a_limit_of_cores() -> None:
    wanted = actions.on_device("hami").accelerator
    assert wanted is not None
    asked = device.requests(replace(wanted, compute_percent=None))
    assert asked == {GPU: "1", "nvidia.com/gpumem": "3584"}


@pytest.mark.parametrize("name", accelerators.TAKEN)
@pytest.mark.parametrize("labels", LABELS, ids=str)
def test_capacity_counts_the_nodes_that_pods_select(name: str, labels: dict[str, str]) -> None:
    pool = actions.on_device(name)
    node = NodeFact(name="a", labels=labels, cpu=1.0, memory=1)
    assert nodes.is_selected(node, pool) == _scheduled(device.pod(pool), labels)


def _scheduled(pod: dict[str, Any], labels: dict[str, str]) -> bool:
    """As Kubernetes' scheduler decides."""
    wanted = pod.get("nodeSelector", {})
    affinity = pod.get("affinity", {}).get("nodeAffinity", {})
    terms = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    rules = [r for t in terms.get("nodeSelectorTerms", ()) for r in t["matchExpressions"]]
    out = {
        "NotIn": lambda rule: labels.get(rule["key"]) in rule["values"],
        "DoesNotExist": lambda rule: rule["key"] in labels,
    }
    return wanted.items() <= labels.items() and not any(out[r["operator"]](r) for r in rules)


def test_the_pools_own_labels_win() -> None:
    pool = actions.on_device("mps")
    own = {nodes.REPLICAS_LABEL: "8", "zone": "b"}
    pool = replace(pool, server=replace(pool.server, node_selector=own))
    wanted = {nodes.STRATEGY_LABEL: "mps", **own}
    assert device.pod(pool)["nodeSelector"] == wanted == nodes.selector(pool)


def test_only_work_that_takes_the_device_goes_to_it() -> None:
    pool = actions.on_device("dra")
    intake = intake_job(replace(actions.intake(full=False), pool_spec=pool), actions.NAMESPACE)
    convert = convert_job(replace(actions.convert(full=False), pool_spec=pool), actions.NAMESPACE)
    claims = [{"name": "device", "resourceClaimTemplateName": "one-gpu"}]
    assert "resourceClaims" not in intake["spec"]["template"]["spec"]
    assert convert["spec"]["template"]["spec"]["resourceClaims"] == claims
