"""Which nodes a pool's servers may go to: labels, taints, and how the nodes' devices are shared.

Labels are those of NVIDIA's GPU feature discovery. Manifests ask for them, capacity counts by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tightship.api.accelerator import GPU, Sharing

if TYPE_CHECKING:
    from tightship.api.accelerator import Accelerator
    from tightship.api.v1alpha1 import ServingPoolSpec, Toleration
    from tightship.plan.snapshot import NodeFact, Taint

STRATEGY_LABEL = "nvidia.com/gpu.sharing-strategy"
REPLICAS_LABEL = "nvidia.com/gpu.replicas"
MIG_LABEL = "nvidia.com/mig.strategy"
SLICES_LABEL = "nvidia.com/gpu.slices.gi"  # there only where nvidia.com/gpu is a MIG slice

STRATEGIES = {Sharing.MPS: "mps", Sharing.TIME_SLICING: "time-slicing"}
_KEEPS_OUT = frozenset({"NoSchedule", "NoExecute"})


def device_labels(wanted: Accelerator | None) -> dict[str, str]:
    """Labels of nodes whose devices are shared as the pool says."""
    if wanted is None:
        return {}
    if wanted.replicas is not None:
        return {
            STRATEGY_LABEL: STRATEGIES[wanted.sharing],
            REPLICAS_LABEL: str(wanted.replicas),
        }
    if wanted.profile is not None and wanted.resource_name == GPU:
        return {MIG_LABEL: "single", SLICES_LABEL: wanted.profile[0]}
    return {}


def asks_for_whole_gpus(wanted: Accelerator | None) -> bool:
    """Whether nodes where nvidia.com/gpu is a copy or a slice are out of the question."""
    return wanted is not None and wanted.sharing is Sharing.WHOLE and wanted.resource_name == GPU


def selector(pool: ServingPoolSpec) -> dict[str, str]:
    """Labels that a node of the pool has; the pool's own win."""
    return {**device_labels(pool.accelerator), **pool.server.node_selector}


def is_selected(node: NodeFact, pool: ServingPoolSpec) -> bool:
    """Whether the node has the labels that the pool's servers ask for."""
    if asks_for_whole_gpus(pool.accelerator) and (
        node.labels.get(STRATEGY_LABEL) in STRATEGIES.values() or SLICES_LABEL in node.labels
    ):
        return False
    return all(node.labels.get(key) == value for key, value in selector(pool).items())


def keeping_out(node: NodeFact, pool: ServingPoolSpec) -> list[Taint]:
    """Taints of the node that keep the pool's servers away."""
    return [
        taint
        for taint in node.taints
        if taint.effect in _KEEPS_OUT
        and not any(_tolerates(each, taint) for each in pool.server.tolerations)
    ]


def _tolerates(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect not in (None, taint.effect):
        return False
    if toleration.key is None:
        return True
    same = toleration.operator == "Exists" or (toleration.value or "") == taint.value
    return toleration.key == taint.key and same
