"""What a pool's accelerator is in a pod: requests, claims, environment and the choice of nodes.

A node's settings are taken as they are: a pod goes where they are as the pool says, and waits where
there is no such node.
"""

import math

from tightship.api.accelerator import Accelerator, Isolation, Sharing
from tightship.api.v1alpha1 import ServingPoolSpec
from tightship.manifests.objects import Object, placement
from tightship.plan.nodes import (
    SLICES_LABEL,
    STRATEGIES,
    STRATEGY_LABEL,
    asks_for_whole_gpus,
    device_labels,
)

CONTEXT_BYTES = 512 * 2**20
"""What CUDA's context of one Triton takes beside the models; a limit has to allow for it."""

CLAIM = "device"  # name of the pod's ResourceClaim

_MIB = 2**20


def requests(wanted: Accelerator | None) -> dict[str, str]:
    """Extended resources that a container asks for, each as its request and its limit."""
    if wanted is None or wanted.resource_name is None:
        return {}
    asked = {wanted.resource_name: "1"}
    if wanted.sharing is Sharing.HAMI:
        asked["nvidia.com/gpumem"] = str(_limit_mib(wanted))
        if wanted.compute_percent is not None:
            asked["nvidia.com/gpucores"] = str(wanted.compute_percent)
    return asked


def claims(wanted: Accelerator | None) -> Object:
    """The field `claims` of a container's resources; nothing without DRA."""
    return {"claims": [{"name": CLAIM}]} if _claimed(wanted) else {}


def environment(wanted: Accelerator | None) -> dict[str, str]:
    """Limits that the device's driver reads from a Triton's environment.

    MPS takes the lesser of these and of what its daemon says, which is an equal share for each
    copy. A container sees one device, so that its number is 0.
    """
    if wanted is None or wanted.sharing is not Sharing.MPS:
        return {}
    limits = {"CUDA_MPS_PINNED_DEVICE_MEM_LIMIT": f"0={_limit_mib(wanted)}M"}
    if wanted.compute_percent is not None:
        limits["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] = str(wanted.compute_percent)
    return limits


def told_to_agent(wanted: Accelerator | None) -> dict[str, str]:
    """Whether others are on the device, so that its memory in use is not the server's alone."""
    alone = wanted is None or wanted.isolation is Isolation.HARD
    return {} if alone else {"TIGHTSHIP_DEVICE_SHARED": "true"}


def brings_shared_memory(wanted: Accelerator | None) -> bool:
    """Whether the device plugin mounts /dev/shm itself.

    With MPS it is how clients reach the MPS server: a volume of the pod's in its place would hide
    it, and CUDA would find no device.
    """
    return wanted is not None and wanted.sharing is Sharing.MPS


def pod(spec: ServingPoolSpec) -> Object:
    """The fields of a pod that takes the pool's device: its nodes, and its claim."""
    wanted = spec.accelerator
    fields = placement(spec.server, device_labels(wanted))
    if asks_for_whole_gpus(wanted):
        fields["affinity"] = _whole_devices()
    if wanted is not None and _claimed(wanted):
        claim = {"name": CLAIM, "resourceClaimTemplateName": wanted.claim_template}
        fields["resourceClaims"] = [claim]
    return fields


def _whole_devices() -> Object:
    """Nodes where nvidia.com/gpu is no copy and no slice; those without labels are believed."""
    terms = [
        {"key": STRATEGY_LABEL, "operator": "NotIn", "values": sorted(STRATEGIES.values())},
        {"key": SLICES_LABEL, "operator": "DoesNotExist"},
    ]
    required = {"nodeSelectorTerms": [{"matchExpressions": terms}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def _claimed(wanted: Accelerator | None) -> bool:
    return wanted is not None and wanted.sharing is Sharing.DRA


def _limit_mib(wanted: Accelerator) -> int:
    return math.ceil((wanted.memory + CONTEXT_BYTES) / _MIB)
