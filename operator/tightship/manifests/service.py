"""The plain Service of one model: exactly the servers that hold a verified version of it."""

from tightship.api import names
from tightship.manifests.objects import Object, labels, metadata
from tightship.plan.actions import ApplyModelService


def model_service(action: ApplyModelService, namespace: str) -> Object:
    """A ClusterIP Service that selects by pool and route label, without a hop in between."""
    labelled = {**labels(action.pool), names.MODEL_LABEL: action.model}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(action.model, namespace, labelled, [action.owner]),
        "spec": {
            "type": "ClusterIP",
            "selector": {
                names.POOL_LABEL: action.pool,
                names.route_label(action.model): names.ROUTED,
            },
            "ports": [
                _port("http", names.HTTP_PORT, "http"),
                _port("grpc", names.GRPC_PORT, "kubernetes.io/h2c"),
            ],
        },
    }


def _port(name: str, number: int, protocol: str) -> Object:
    return {
        "name": name,
        "port": number,
        "targetPort": name,
        "protocol": "TCP",
        "appProtocol": protocol,
    }
