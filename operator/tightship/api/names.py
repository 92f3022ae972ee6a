"""Names that other programs see: group, labels, annotations, field managers, ports, objects."""

GROUP = "tightship.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"

OPTIMIZED_MODEL = "OptimizedModel"
OPTIMIZED_MODELS = "optimizedmodels"
SERVING_POOL = "ServingPool"
SERVING_POOLS = "servingpools"

MANAGED_BY_LABEL = "app.kubernetes.io/managed-by"
MANAGED_BY = "tightship"
COMPONENT_LABEL = "app.kubernetes.io/component"  # server | sweep | a JobKind
POOL_LABEL = f"{GROUP}/pool"
MODEL_LABEL = f"{GROUP}/model"
INPUTS_LABEL = f"{GROUP}/inputs"
REVISION_LABEL = f"{GROUP}/revision"
ROUTE_LABEL_PREFIX = f"model.{GROUP}/"
ROUTED = "routed"

APPLIED_ANNOTATION = f"{GROUP}/applied"
PAUSED_ANNOTATION = f"{GROUP}/paused"
RETRY_ANNOTATION = f"{GROUP}/retry"  # a new value asks for a failed conversion to be tried again
RETRY_MAX = 63  # characters of its value that count
DELETION_COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
PLACED_GATE = f"{GROUP}/placed"

MANAGER = "tightship"
STATUS_MANAGER = "tightship-status"
SCALER_MANAGER = "tightship-scaler"

MODEL_NAME_MAX = 40
MODEL_NAME_PATTERN = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"

HTTP_PORT = 8000
GRPC_PORT = 8001
METRICS_PORT = 8002
AGENT_PORT = 8443
AGENT_PROBE_PORT = 8444  # plain HTTP for the kubelet: readiness only, no model data

RESTRICTED_HEADER = "tightship-key"
"""Header that opens Triton's restricted APIs (repository, shared memory, trace, logging)."""


def route_label(model: str) -> str:
    """Key of the pod label that puts a server behind the Service of `model`."""
    return ROUTE_LABEL_PREFIX + model


def servers_name(pool: str) -> str:
    """Name of the pool's Deployment, PodDisruptionBudget and NetworkPolicy."""
    return f"pool-{pool}"


def sweep_name(pool: str) -> str:
    """Name of the pool's clean-up of the store: its CronJob and its list of KEYs in use."""
    return f"{servers_name(pool)}-sweep"


def agent_secret_name(pool: str) -> str:
    """Name of the Secret with the pool's certificate, agent token and Triton key."""
    return f"pool-{pool}-agent"


def agent_server_name(pool: str, namespace: str) -> str:
    """DNS name in the pool's certificate: connections go to pod IPs, this name is verified."""
    return f"{servers_name(pool)}.{namespace}.tightship.internal"


def intake_job_name(inputs: str) -> str:
    """Name of the intake Job for a hash of inputs."""
    return f"intake-{inputs[:10]}"


def refresh_job_name(inputs: str) -> str:
    """Name of the Job that looks again at what a hash of inputs stands for."""
    return f"refresh-{inputs[:10]}"


def evaluate_job_name(inputs: str) -> str:
    """Name of the Job that evaluates what a hash of an artifact and its data stands for."""
    return f"evaluate-{inputs[:10]}"


def convert_job_name(key: str) -> str:
    """Name of the conversion Job for an artifact KEY."""
    return f"convert-{key[:10]}"
