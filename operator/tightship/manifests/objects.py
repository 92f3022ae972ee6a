"""The parts that all of our objects share: metadata, labels, environment, resources."""

from collections.abc import Iterable, Mapping
from typing import Any

from tightship.api import names
from tightship.api.quantity import cpu_text, memory_text
from tightship.api.v1alpha1 import Resources, ServerTemplate, Toleration
from tightship.plan.actions import Owner

Object = dict[str, Any]


def labels(pool: str, component: str | None = None) -> dict[str, str]:
    """Labels by which the operator finds what it made."""
    found = {names.MANAGED_BY_LABEL: names.MANAGED_BY, names.POOL_LABEL: pool}
    if component:
        found[names.COMPONENT_LABEL] = component
    return found


def metadata(
    name: str, namespace: str, labelled: Mapping[str, str], owners: Iterable[Owner]
) -> Object:
    """Name, namespace, labels and owner references in the order of their uids."""
    return {
        "name": name,
        "namespace": namespace,
        "labels": dict(labelled),
        "ownerReferences": [_reference(o) for o in sorted(owners, key=lambda owner: owner.uid)],
    }


def resources(
    wanted: Resources,
    *,
    disk: int,
    limit_cpu: bool = False,
    extended: Mapping[str, str] | None = None,
) -> Object:
    """Requests and limits of a container; `disk` bounds what it writes, in bytes.

    `extended` are resources of device plugins, whose requests equal their limits.

    Disk is requested only up to 1 GiB: what a container may write is rarely what it does write, and
    an unused request would keep other pods off the node.
    """
    requests = {
        "cpu": cpu_text(wanted.cpu),
        "memory": memory_text(wanted.memory),
        "ephemeral-storage": memory_text(min(disk, 2**30)),
    }
    limits = {"memory": memory_text(wanted.memory), "ephemeral-storage": memory_text(disk)}
    if wanted.cpu_limit is not None or limit_cpu:
        limits["cpu"] = cpu_text(wanted.cpu if wanted.cpu_limit is None else wanted.cpu_limit)
    more = extended or {}
    return {"requests": {**requests, **more}, "limits": {**limits, **more}}


def variables(values: Mapping[str, str]) -> list[Object]:
    """Environment variables with plain values; the API server drops the field of an empty one."""
    return [
        {"name": name, "value": value} if value else {"name": name}
        for name, value in values.items()
    ]


def mount(volume: str, path: str, *, read_only: bool = True) -> Object:
    """A volume's place in a container; the API server drops `readOnly` where it is false."""
    placed: Object = {"name": volume, "mountPath": path}
    return {**placed, "readOnly": True} if read_only else placed


def placement(template: ServerTemplate, also: Mapping[str, str] | None = None) -> Object:
    """The fields of a pod that choose its node; absent where the pool says nothing.

    `also` are labels beside the pool's own, which win.
    """
    chosen: Object = {}
    if selector := {**(also or {}), **template.node_selector}:
        chosen["nodeSelector"] = selector
    if template.tolerations:
        chosen["tolerations"] = [_toleration(value) for value in template.tolerations]
    return chosen


def secret_variable(name: str, secret: str, key: str) -> Object:
    """An environment variable from one key of a Secret."""
    return {"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}}


def field_variable(name: str, path: str) -> Object:
    """An environment variable from a field of the pod."""
    return {"name": name, "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": path}}}


def _toleration(value: Toleration) -> Object:
    written = {
        "key": value.key,
        "operator": value.operator,
        "value": value.value,
        "effect": value.effect,
        "tolerationSeconds": value.toleration_seconds,
    }
    return {name: part for name, part in written.items() if part is not None}


def _reference(owner: Owner) -> Object:
    return {
        "apiVersion": names.API_VERSION,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
    }
