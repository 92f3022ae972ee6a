"""Counts what one client asks of the API server, at the server itself.

API Priority and Fairness counts dispatched requests by FlowSchema, and a FlowSchema picks requests
by user and verb: so one that matches the operator's writes makes the server count them, no-op
writes included, on any cluster whose /metrics may be read.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.e2e.support.kubectl import Kubectl, Object

_WRITES = ("create", "update", "patch", "delete", "deletecollection")
_LEVEL = "workload-low"
_METRIC = "apiserver_flowcontrol_dispatched_requests_total"
_ALL, _LEASES, _OTHERS = "tightship-e2e-all", "tightship-e2e-leases", "tightship-e2e-writes"


@dataclass(frozen=True)
class Requests:
    """How often the client asked: writes of Leases, writes where it is watched, all else."""

    leases: int
    writes: int
    reads: int

    def since(self, earlier: "Requests") -> "Requests":
        """What came after `earlier`."""
        return Requests(
            self.leases - earlier.leases, self.writes - earlier.writes, self.reads - earlier.reads
        )


class Counter:
    """Counts from the moment that the server knows of it."""

    def __init__(self, kubectl: Kubectl) -> None:
        self._kubectl = kubectl

    def read(self) -> Requests:
        """The counts so far."""
        text = self._kubectl("get", "--raw", "/metrics")
        return Requests(*(_count(text, name) for name in (_LEASES, _OTHERS, _ALL)))


def _count(text: str, schema: str) -> int:
    pattern = rf'^{_METRIC}{{flow_schema="{schema}",.*}} (\S+)$'
    return sum(int(float(value)) for value in re.findall(pattern, text, re.MULTILINE))


@contextmanager
def counted(kubectl: Kubectl, account: str, namespace: str, watched: str) -> Iterator[Counter]:
    """A counter of what a ServiceAccount asks; of its writes, those in the namespace `watched`.

    Elsewhere models of other tests may still be told that nobody asks them any more.
    """
    schemas = [
        _schema(_LEASES, 601, account, namespace, _WRITES, "coordination.k8s.io", "leases"),
        _schema(_OTHERS, 602, account, namespace, _WRITES, "*", "*", watched),
        _schema(_ALL, 603, account, namespace, ("*",), "*", "*"),
    ]
    kubectl.apply(*schemas)
    try:
        yield Counter(kubectl)
    finally:
        kubectl("delete", "flowschema", _LEASES, _OTHERS, _ALL, "--ignore-not-found")


def _schema(
    name: str, precedence: int, account: str, namespace: str, verbs: tuple[str, ...], group: str,
    resource: str, watched: str = "*",
) -> Object:  # fmt: skip
    """Requests of the account; the schema with the lowest precedence number that matches counts."""
    return {
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "FlowSchema",
        "metadata": {"name": name},
        "spec": {
            "matchingPrecedence": precedence,
            "priorityLevelConfiguration": {"name": _LEVEL},
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [
                {
                    "subjects": [
                        {
                            "kind": "ServiceAccount",
                            "serviceAccount": {"name": account, "namespace": namespace},
                        }
                    ],
                    "resourceRules": [
                        {
                            "verbs": list(verbs),
                            "apiGroups": [group],
                            "resources": [resource],
                            "namespaces": [watched],
                            "clusterScope": watched == "*",
                        }
                    ],
                }
            ],
        },
    }
