"""Pods of the tests themselves: a Python script under Pod Security `restricted`."""

from collections.abc import Mapping

from tests.e2e.support.kubectl import Object


def python(
    name: str, namespace: str, image: str, command: list[str], volumes: dict[str, Object],
    *, nodes: Mapping[str, str] | None = None,
) -> Object:  # fmt: skip
    """A pod that runs `python3 COMMAND...`, each volume mounted at the path that is its key.

    `nodes` are labels of the nodes that it may run on; None is any.
    """
    named = {f"v{number}": path for number, path in enumerate(volumes)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": namespace, "labels": {"e2e": name}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "nodeSelector": dict(nodes or {}),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 1000,
                "fsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": name,
                    "image": image,
                    "command": ["python3", *command],
                    "env": [
                        {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
                        {
                            "name": "POD_IP",
                            "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}},
                        },
                    ],
                    "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}},
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": n, "mountPath": path} for n, path in named.items()],
                }
            ],
            "volumes": [{"name": n, **volumes[path]} for n, path in named.items()],
        },
    }
