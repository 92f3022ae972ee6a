"""Network policies of a pool: everything is closed, then what is needed is opened."""

from tightship.api import names
from tightship.api.uris import claim
from tightship.manifests.objects import Object, labels, metadata
from tightship.plan.actions import Owner
from tightship.plan.snapshot import JobKind

OPERATOR_LABELS = {"app.kubernetes.io/name": "tightship", names.COMPONENT_LABEL: "operator"}
"""Labels of the operator's pod, as the chart sets them; its namespace is the platform team's."""

_ANYWHERE: Object = {"namespaceSelector": {}}
_OUTSIDE: Object = {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}}
_OUTSIDE_6: Object = {"ipBlock": {"cidr": "::/0", "except": ["fe80::/10", "fd00:ec2::/32"]}}


def network_policies(pool: str, owner: Owner, store_uri: str, namespace: str) -> list[Object]:
    """Policies for all pods of a pool: default deny, servers, Jobs of models, clean-ups.

    Destinations by name do not exist in NetworkPolicy, and the store's address stands in a Secret
    that the operator does not read. So egress is TCP to anywhere but link-local addresses, where
    clouds keep credentials of the node. Pods of a pool whose store is a claim need no egress.
    """
    downloads = [] if claim(store_uri) else [_transfer()]
    return [
        _policy(pool, owner, namespace, None, {}),
        _policy(
            pool,
            owner,
            namespace,
            "server",
            {"ingress": _server_ingress(), "egress": [_name_lookup(), *downloads]},
        ),
        *(
            _policy(pool, owner, namespace, kind.value, {"egress": [_name_lookup(), _transfer()]})
            for kind in JobKind
        ),
        _policy(pool, owner, namespace, "sweep", {"egress": [_name_lookup(), *downloads]}),
    ]


def _policy(
    pool: str, owner: Owner, namespace: str, component: str | None, rules: Object
) -> Object:
    name = names.servers_name(pool)
    labelled = labels(pool, component)
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(
            f"{name}-{component}" if component else name, namespace, labelled, [owner]
        ),
        "spec": {
            "podSelector": {"matchLabels": labelled},
            "policyTypes": ["Ingress", "Egress"],
            **rules,
        },
    }


def _server_ingress() -> list[Object]:
    """Clients and scrapers from any namespace, the operator to the agent, the kubelet's probes."""
    operator = {**_ANYWHERE, "podSelector": {"matchLabels": OPERATOR_LABELS}}
    return [
        {"ports": [_port(names.HTTP_PORT), _port(names.GRPC_PORT), _port(names.METRICS_PORT)]},
        {"ports": [_port(names.AGENT_PROBE_PORT)]},
        {"from": [operator], "ports": [_port(names.AGENT_PORT)]},
    ]


def _name_lookup() -> Object:
    return {"to": [_ANYWHERE], "ports": [_port(53, "UDP"), _port(53)]}


def _transfer() -> Object:
    return {
        "to": [_ANYWHERE, _OUTSIDE, _OUTSIDE_6],
        "ports": [{"protocol": "TCP", "port": 1, "endPort": 65535}],
    }


def _port(number: int, protocol: str = "TCP") -> Object:
    return {"protocol": protocol, "port": number}
