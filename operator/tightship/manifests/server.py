"""The servers of a pool: their Deployment, disruption budget and network policies."""

from tightship.api import job, names
from tightship.api.uris import claim
from tightship.api.v1alpha1 import ServingPoolSpec, UpdateStrategy
from tightship.manifests import device, security
from tightship.manifests.network import network_policies
from tightship.manifests.objects import (
    Object,
    field_variable,
    labels,
    metadata,
    mount,
    resources,
    secret_variable,
    variables,
)
from tightship.manifests.security import SHARED_MEMORY, TEMPORARY
from tightship.plan.actions import ApplyServers
from tightship.plan.packing import server_memory

SERVER = "server"
MODELS = "/models"
STATE = "/state"
STORE_SECRET = "/secrets/store"  # noqa: S105 (a folder)
AGENT_SECRET = "/secrets/agent"  # noqa: S105 (a folder)

_GRACE_MARGIN_SECONDS = 15


def server_objects(action: ApplyServers, namespace: str) -> list[Object]:
    """Everything of a pool but its Secret and its models' Services, in the order of writing."""
    policies = network_policies(action.pool, action.owner, action.spec.store.uri, namespace)
    return [*policies, _budget(action, namespace), _deployment(action, namespace)]


def _deployment(action: ApplyServers, namespace: str) -> Object:
    labelled = labels(action.pool, SERVER)
    name = names.servers_name(action.pool)
    surge = action.spec.update_strategy is UpdateStrategy.SURGE
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(name, namespace, labelled, [action.owner]),
        "spec": {
            "replicas": action.replicas,
            "revisionHistoryLimit": 2,
            "selector": {"matchLabels": labelled},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {
                    "maxSurge": 1 if surge else 0,
                    "maxUnavailable": 0 if surge else 1,
                },
            },
            "template": {
                "metadata": {"labels": {**labelled, names.REVISION_LABEL: action.revision}},
                "spec": _pod(action.pool, action.spec, labelled),
            },
        },
    }


def _pod(pool: str, spec: ServingPoolSpec, labelled: dict[str, str]) -> Object:
    grace = security.drain_seconds(spec) + security.TRITON_EXIT_SECONDS + _GRACE_MARGIN_SECONDS
    return {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": grace,
        "readinessGates": [{"conditionType": names.PLACED_GATE}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": labelled},
            }
        ],
        **device.pod(spec),
        "securityContext": security.pod_security(),
        "initContainers": [_agent(pool, spec)],
        "containers": [_triton(pool, spec)],
        "volumes": _volumes(pool, spec),
    }


def _triton(pool: str, spec: ServingPoolSpec) -> Object:
    wanted = spec.accelerator
    shared = [] if device.brings_shared_memory(wanted) else [_shared_memory()]
    live = {"httpGet": {"path": "/v2/health/live", "port": "http"}, "timeoutSeconds": 5}
    return {
        "name": "triton",
        "image": spec.server.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["tritonserver"],
        "args": security.server_flags(spec),
        "env": [
            secret_variable(
                security.TRITON_KEY_VARIABLE, names.agent_secret_name(pool), "triton-key"
            ),
            *variables(device.environment(wanted)),
        ],
        "ports": [
            _port("http", names.HTTP_PORT),
            _port("grpc", names.GRPC_PORT),
            _port("metrics", names.METRICS_PORT),
        ],
        "startupProbe": {**live, "periodSeconds": 2, "failureThreshold": 150},
        "livenessProbe": {**live, "periodSeconds": 10, "failureThreshold": 6},
        # What a restarted Triton has loaded is not verified yet; the agent knows when it is.
        "readinessProbe": _agent_probe("/readyz", period=1, failures=10),
        "lifecycle": _drain(spec),
        "resources": resources(
            spec.server.resources,
            disk=security.TEMPORARY_BYTES + security.LOG_BYTES,
            extended=device.requests(wanted),
        )
        | device.claims(wanted),
        "securityContext": security.container_security(),
        "volumeMounts": [
            mount("models", MODELS),
            mount("tmp-triton", TEMPORARY, read_only=False),
            *shared,
            mount("traces", security.TRACES, read_only=False),
        ],
    }


def _shared_memory() -> Object:
    return mount("shared-memory", SHARED_MEMORY, read_only=False)


def _agent(pool: str, spec: ServingPoolSpec) -> Object:
    """A native sidecar, so that it is there before Triton and after it.

    It is unready only after 10 s: its supervisor restarts it in about 5, and a server whose agent
    restarts still answers.
    """
    accelerator = spec.accelerator.named if spec.accelerator else ""
    claimed = claim(spec.store.uri)
    disk = 2 * security.server_disk_bytes(spec) + security.TEMPORARY_BYTES + security.LOG_BYTES
    return {
        "name": "agent",
        "image": spec.server.agent_image,
        "imagePullPolicy": "IfNotPresent",
        "restartPolicy": "Always",
        "command": ["tightship", "agent"],
        "env": [
            *variables(
                {
                    "TIGHTSHIP_STORE_URI": spec.store.uri,
                    "TIGHTSHIP_POOL": pool,
                    "TIGHTSHIP_MEMORY_LIMIT": str(server_memory(spec)),
                    "TIGHTSHIP_ACCELERATOR": accelerator,
                    **device.told_to_agent(spec.accelerator),
                    "HOME": TEMPORARY,
                }
            ),
            field_variable("POD_NAME", "metadata.name"),
            field_variable("POD_IP", "status.podIP"),
        ],
        "ports": [_port("agent", names.AGENT_PORT), _port("probes", names.AGENT_PROBE_PORT)],
        "readinessProbe": _agent_probe("/readyz", period=2, failures=5),
        "livenessProbe": _agent_probe("/livez", period=10, failures=6),
        "lifecycle": _drain(spec),
        "resources": resources(spec.server.agent_resources, disk=disk),
        "securityContext": security.container_security(),
        "volumeMounts": [
            mount("models", MODELS, read_only=False),
            mount("state", STATE, read_only=False),
            mount("tmp-agent", TEMPORARY, read_only=False),
            mount("traces", security.TRACES, read_only=False),
            mount("agent", AGENT_SECRET),
            *([mount("store", STORE_SECRET)] if spec.store.secret else []),
            *([mount("claim", f"{job.PVC_ROOT}/{claimed}")] if claimed else []),
        ],
    }


def _volumes(pool: str, spec: ServingPoolSpec) -> list[Object]:
    disk, claimed = security.server_disk_bytes(spec), claim(spec.store.uri)
    shared = security.shared_memory("shared-memory", spec.server.resources.memory)
    return [
        security.scratch("models", disk),
        security.scratch("state", disk),
        security.scratch("tmp-triton", security.TEMPORARY_BYTES),
        security.scratch("tmp-agent", security.TEMPORARY_BYTES),
        *([] if device.brings_shared_memory(spec.accelerator) else [shared]),
        security.traces("traces"),
        security.secret("agent", names.agent_secret_name(pool)),
        *([security.users_secret("store", spec.store.secret)] if spec.store.secret else []),
        *([security.claim("claim", claimed)] if claimed else []),
    ]


def _budget(action: ApplyServers, namespace: str) -> Object:
    """One server at a time; one that is not ready may always be evicted."""
    labelled = labels(action.pool, SERVER)
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(names.servers_name(action.pool), namespace, labelled, [action.owner]),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": labelled},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }


def _drain(spec: ServingPoolSpec) -> Object:
    return {"preStop": {"sleep": {"seconds": security.drain_seconds(spec)}}}


def _agent_probe(path: str, *, period: int, failures: int) -> Object:
    return {
        "httpGet": {"path": path, "port": names.AGENT_PROBE_PORT},
        "periodSeconds": period,
        "failureThreshold": failures,
        "timeoutSeconds": 2,
    }


def _port(name: str, number: int) -> Object:
    return {"name": name, "containerPort": number, "protocol": "TCP"}
