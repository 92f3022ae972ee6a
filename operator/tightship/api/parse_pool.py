"""The ServingPool's half of `tightship.api.parse`."""

from dataclasses import dataclass
from enum import StrEnum

from tightship.api.fields import (
    Fields,
    SpecError,
    boolean,
    choice,
    cpu,
    decimal,
    distinct,
    duration,
    integer,
    mapping,
    memory,
    sequence,
    text,
)
from tightship.api.objectives import class_latency, slo_class
from tightship.api.parse_accelerator import accelerator
from tightship.api.uris import (
    HOST,
    LABEL_VALUE,
    QUALIFIED_NAME,
    secret_name,
    store_uri,
)
from tightship.api.v1alpha1 import (
    AGENT_RESOURCES,
    Consolidation,
    ConsolidationPolicy,
    Converter,
    Resources,
    ServerTemplate,
    ServingPoolSpec,
    Store,
    Toleration,
    UpdateStrategy,
)

_IMAGE = text(r"[A-Za-z0-9][-A-Za-z0-9._/:@]*", "an image reference such as HOST/NAME:TAG", 512)
_LABEL_KEY = text(QUALIFIED_NAME, "a label key such as kubernetes.io/arch", 317)
_LABEL_VALUE = text(LABEL_VALUE, "a label value", 63)
_CORES = cpu("10m", "512")
_MEMORY = memory("16Mi", "16Ti")
_HOST = text(HOST, "a host name, *.SUFFIX or an IPv4 address, with :PORT where needed", 260)
_SHARE = text(r"([1-9][0-9]?|100)%", 'a share from 1% to 100%, such as "10%"', 4)
_FOLDER = text(r"(/[-A-Za-z0-9_][-A-Za-z0-9._]*)+", "an absolute folder without . or .. parts", 256)


class _Operator(StrEnum):
    EQUAL = "Equal"
    EXISTS = "Exists"


class _Effect(StrEnum):
    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


def parse_pool(spec: object) -> ServingPoolSpec:
    """The spec of a ServingPool with every default filled in.

    Raises:
        SpecError: the first field that is wrong, and what it must be.
    """
    fields = Fields(spec, "spec")
    pool = ServingPoolSpec(
        server=fields.required("server", _server),
        store=fields.required("store", _store),
        converter=fields.required("converter", _converter),
        accelerator=fields.optional("accelerator", accelerator, None),
        min_servers=fields.optional("minServers", integer(0, 256), 1),
        max_servers=fields.optional("maxServers", integer(1, 256), 1),
        update_strategy=fields.optional(
            "updateStrategy", choice(UpdateStrategy), UpdateStrategy.SURGE
        ),
        consolidation=fields.optional("consolidation", _consolidation, Consolidation()),
        slo_classes=fields.optional("sloClasses", mapping(slo_class, class_latency, 16), {}),
        dry_run=fields.optional("dryRun", boolean, False),
        trusted_code=fields.optional("trustedCode", boolean, False),
        price_per_hour=fields.optional("pricePerHour", decimal("0", "999"), None),
    )
    fields.end()
    if pool.min_servers > pool.max_servers:
        raise SpecError("spec: minServers must not be greater than maxServers (1 if absent)")
    return pool


def _consolidation(value: object, path: str) -> Consolidation:
    fields = Fields(value, path)
    consolidation = Consolidation(
        policy=fields.optional(
            "policy", choice(ConsolidationPolicy), ConsolidationPolicy.WHEN_POSSIBLE
        ),
        after=fields.optional("after", duration("0s", "168h"), 600.0),
        budget=fields.optional("budget", _share, 0.1),
    )
    fields.end()
    return consolidation


def _share(value: object, path: str) -> float:
    return int(_SHARE(value, path).removesuffix("%")) / 100


def _server(value: object, path: str) -> ServerTemplate:
    fields = Fields(value, path)
    server = ServerTemplate(
        image=fields.required("image", _IMAGE),
        agent_image=fields.required("agentImage", _IMAGE),
        resources=fields.required("resources", _resources),
        agent_resources=fields.optional("agentResources", _resources, AGENT_RESOURCES),
        node_selector=fields.optional("nodeSelector", mapping(_LABEL_KEY, _LABEL_VALUE, 32), {}),
        tolerations=fields.optional("tolerations", sequence(_toleration, 32), ()),
        backend_directory=fields.optional("backendDirectory", _FOLDER, None),
        response_cache_bytes=fields.optional(
            "responseCacheSize", memory("1Mi", "64Gi"), 64 * 2**20
        ),
        drain_seconds=fields.optional("drainPeriod", duration("1s", "10m"), 15.0),
    )
    fields.end()
    return server


@dataclass(frozen=True, slots=True)
class _Amounts:
    cpu: float | None
    memory: int | None


def _resources(value: object, path: str) -> Resources:
    fields = Fields(value, path)
    requests = fields.required("requests", _requests)
    limits = fields.optional("limits", _limits, _Amounts(None, None))
    fields.end()
    if limits.memory is not None and limits.memory != requests.memory:
        raise SpecError(f"{path}: limits.memory must equal requests.memory, or be absent")
    if limits.cpu is not None and limits.cpu < requests.cpu:
        raise SpecError(f"{path}: limits.cpu must not be less than requests.cpu")
    return Resources(cpu=requests.cpu, memory=requests.memory, cpu_limit=limits.cpu)


def _requests(value: object, path: str) -> Resources:
    fields = Fields(value, path)
    requests = Resources(
        cpu=fields.required("cpu", _CORES), memory=fields.required("memory", _MEMORY)
    )
    fields.end()
    return requests


def _limits(value: object, path: str) -> _Amounts:
    fields = Fields(value, path)
    limits = _Amounts(
        fields.optional("cpu", _CORES, None), fields.optional("memory", _MEMORY, None)
    )
    fields.end()
    return limits


def _toleration(value: object, path: str) -> Toleration:
    fields = Fields(value, path)
    effect = fields.optional("effect", choice(_Effect), None)
    toleration = Toleration(
        key=fields.optional("key", _LABEL_KEY, None),
        operator=fields.optional("operator", choice(_Operator), _Operator.EQUAL).value,
        value=fields.optional("value", _LABEL_VALUE, None),
        effect=effect.value if effect else None,
        toleration_seconds=fields.optional("tolerationSeconds", integer(0, 2**31 - 1), None),
    )
    fields.end()
    exists = toleration.operator == _Operator.EXISTS
    if toleration.key is None and not exists:
        raise SpecError(f"{path}: key is required unless operator is Exists")
    if toleration.value is not None and exists:
        raise SpecError(f"{path}: value must be absent when operator is Exists")
    if toleration.toleration_seconds is not None and toleration.effect != _Effect.NO_EXECUTE:
        raise SpecError(f"{path}: tolerationSeconds needs effect NoExecute")
    return toleration


def _store(value: object, path: str) -> Store:
    fields = Fields(value, path)
    store = Store(
        uri=fields.required("uri", store_uri),
        secret=fields.optional("secretRef", secret_name, None),
        write_secret=fields.optional("writeSecretRef", secret_name, None),
        retention=fields.optional("retention", duration("1h", "8760h"), None),
    )
    fields.end()
    return store


def _converter(value: object, path: str) -> Converter:
    fields = Fields(value, path)
    converter = Converter(
        image=fields.required("image", _IMAGE),
        resources=fields.required("resources", _resources),
        deadline=fields.optional("deadline", duration("1m", "24h"), 3600.0),
        max_concurrent=fields.optional("maxConcurrent", integer(1, 100), 1),
        max_concurrent_intakes=fields.optional("maxConcurrentIntakes", integer(1, 100), 4),
        retries=fields.optional("retries", integer(0, 10), 2),
        allowed_hosts=fields.optional("allowedHosts", distinct(_HOST, 64), ()),
        max_source_bytes=fields.optional("maxSourceSize", memory("1Mi", "1Ti"), 4 * 2**30),
        scratch_bytes=fields.optional("scratchSize", memory("64Mi", "4Ti"), 8 * 2**30),
    )
    fields.end()
    return converter
