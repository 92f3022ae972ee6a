"""OptimizedModel and ServingPool as frozen values: what a user wrote, with every default filled in.

Durations are seconds, sizes bytes, shares and ratios floats; `tightship.api.parse` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from tightship.api.training import TrainingOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tightship.api.accelerator import Accelerator
    from tightship.api.schedule import Schedule


class ModelFormat(StrEnum):
    """What the source holds."""

    ONNX = "onnx"  # one .onnx file, or a folder or archive with exactly one, or in the Hub's layout
    TRITON = "triton"  # a folder or archive in Triton's layout: config.pbtxt and VERSION/model.onnx
    SKLEARN = "sklearn"  # a fitted estimator: .skops, or with trustedCode .joblib and .pkl
    TORCH = "torch"  # with trustedCode: what torch.jit.save or torch.export.save wrote


CODE_FORMATS = frozenset({ModelFormat.SKLEARN, ModelFormat.TORCH})
"""Formats whose sources may run code when they are read."""


class Metric(StrEnum):
    """How answers are compared with `labels`."""

    ACCURACY = "accuracy"
    F1 = "f1"
    AUC = "auc"
    MRR = "mrr"
    CER = "cer"
    WER = "wer"
    MAE = "mae"
    RMSE = "rmse"
    COSINE = "cosine"


CLASS_METRICS = frozenset({Metric.ACCURACY, Metric.F1})
"""Metrics that see predicted classes."""

LABEL_UNIT_METRICS = frozenset({Metric.MAE, Metric.RMSE})
"""Metrics in the unit of the labels; the others have values of about one at most."""


class Better(StrEnum):
    """Which values of a user's own metric are the better ones."""

    LARGER = "larger"
    SMALLER = "smaller"


class SearchStrategy(StrEnum):
    """How a search picks the next point."""

    GRID = "Grid"  # every point in order
    RANDOM = "Random"  # by chance with a fixed seed
    TPE = "TPE"  # by what was found so far


class UpdateStrategy(StrEnum):
    """How servers of a pool are replaced."""

    SURGE = "Surge"  # a new server first, the old one goes when its models have moved
    DRAIN = "Drain"  # no free device for a surge: empty one server, replace it, go on


class ConsolidationPolicy(StrEnum):
    """Whether servers that are not needed are given up."""

    WHEN_POSSIBLE = "WhenPossible"
    NEVER = "Never"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSource:
    """Where the original model lies."""

    storage_uri: str
    format: ModelFormat = ModelFormat.ONNX
    secret: str | None = None
    digest: str | None = None  # "sha256:<64 hex>" of the file, or of the folder's listing
    refresh_interval: float = 0.0  # seconds between looks for other bytes; 0: never


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """An .npz file: an array per model input, first axis the sample; `labels` to evaluate."""

    storage_uri: str
    secret: str | None = None
    max_samples: int = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Code:
    """Code of the user's: `entrypoint` is FILE.py:NAME or MODULE:NAME below `storage_uri`."""

    storage_uri: str
    entrypoint: str
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnMetric(Code):
    """A function of the user's that judges a candidate."""

    better: Better | None = None  # None: what its code says, larger where it says nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationSet(Dataset):
    """Labelled data and the metric that judges a candidate on it: `metric`, or `own_metric`."""

    metric: Metric | None = Metric.ACCURACY
    positive_class: int | None = None  # f1 of this class alone
    max_samples: int = 2000
    own_metric: OwnMetric | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccuracyGate:
    """It passes if its loss against the original is at most `max_drop` at `confidence`.

    And, where they are given, if its metric is no worse than `worst_value`, and if the recall of
    no class falls by more than `max_class_drop` or may be below `worst_class_value`.
    """

    max_drop: float = 0.01
    worst_value: float | None = None
    max_class_drop: float | None = None
    worst_class_value: float | None = None
    confidence: float = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Techniques:
    """Families of candidates that may be tried. Absent in the resource means all of them."""

    quantize: bool = True
    half_precision: bool = True
    openvino: bool = True
    prune: bool = True
    prune_sparsity: float = 0.5


class Objective(StrEnum):
    """What a candidate is to be best at, among those inside the gate."""

    LATENCY = "latency"
    THROUGHPUT = "throughput"
    MEMORY = "memory"
    COST = "cost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A search for recipes beyond the curated list, which is tried first in any case."""

    strategy: SearchStrategy = SearchStrategy.TPE
    max_trials: int = 20
    max_duration: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer(Code):
    """Code of the user's that trains the model."""

    options: TrainingOptions = field(default_factory=TrainingOptions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Optimization:
    """What counts as better, and by how much."""

    techniques: Techniques = field(default_factory=Techniques)
    gate: AccuracyGate = field(default_factory=AccuracyGate)
    objective: Objective = Objective.LATENCY
    min_speedup: float = 1.05
    search: Search | None = None  # none: the curated list alone
    trainer: Trainer | None = None  # none: nothing is trained


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyObjective:
    """At most `target` seconds at `percentile`."""

    target: float
    percentile: int = 99  # 50 | 90 | 95 | 99


@dataclass(frozen=True, slots=True, kw_only=True)
class Slo:
    """The model's objective: a class of the pool, with the latency overridden where it is given."""

    class_name: str = "Interactive"
    latency: LatencyObjective | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicBatching:
    """Triton's dynamic batcher; the queue delay is a wish that the latency objective bounds."""

    enabled: bool = True
    max_queue_delay: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """Where and how the model is served."""

    pool: str
    slo: Slo = field(default_factory=Slo)
    priority: int = 100
    replicas: int = 1  # copies of the model, not pods
    dynamic_batching: DynamicBatching = field(default_factory=DynamicBatching)
    response_cache: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """How requests are compared with the data that the model was judged on."""

    max_psi: float = 0.2
    sample_rate: float = 0.01  # share of requests that are looked at
    samples: int = 500  # requests that make a window: each one gives a verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Monitoring:
    """What is watched about a model that is served."""

    max_age: float | None = None  # seconds after which its last evaluation is too old
    schedule: Schedule | None = None  # when it is evaluated on the data as they are by then
    drift: Drift | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizedModelSpec:
    """One model, from its source to its Service."""

    model: ModelSource
    calibration: Dataset | None = None
    evaluation: EvaluationSet | None = None
    optimization: Optimization = field(default_factory=Optimization)
    serving: Serving
    monitoring: Monitoring = field(default_factory=Monitoring)

    @property
    def own_metric(self) -> OwnMetric | None:
        """The user's own metric; None where a built-in one judges, or nothing does."""
        return self.evaluation.own_metric if self.evaluation else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Requests equal limits for memory; CPU in cores, memory in bytes."""

    cpu: float
    memory: int
    cpu_limit: float | None = None  # none: not limited


AGENT_RESOURCES = Resources(cpu=0.1, memory=256 * 2**20)
"""What an agent gets unless the pool says otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toleration:
    """A Kubernetes toleration."""

    key: str | None = None
    operator: str = "Equal"
    value: str | None = None
    effect: str | None = None
    toleration_seconds: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTemplate:
    """What a server pod of the pool is made of."""

    image: str
    agent_image: str
    resources: Resources
    agent_resources: Resources = AGENT_RESOURCES
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    backend_directory: str | None = None
    response_cache_bytes: int = 64 * 2**20
    drain_seconds: float = 15.0  # how long a server that leaves still answers


@dataclass(frozen=True, slots=True, kw_only=True)
class Store:
    """Where artifacts are published, and with which Secrets."""

    uri: str
    secret: str | None = None  # read: agents and the look-up before a conversion
    write_secret: str | None = None  # write: publish and the clean-up; absent = `secret`
    retention: float | None = None  # seconds that an unused artifact stays; None: for ever


@dataclass(frozen=True, slots=True, kw_only=True)
class Converter:
    """How conversions of the pool run."""

    image: str
    resources: Resources
    deadline: float = 3600.0
    max_concurrent: int = 1
    max_concurrent_intakes: int = 4
    retries: int = 2
    allowed_hosts: tuple[
        str, ...
    ] = ()  # hosts of sources and data; the store's own is always allowed
    max_source_bytes: int = 4 * 2**30
    scratch_bytes: int = 8 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Consolidation:
    """When servers are emptied into the others and given up."""

    policy: ConsolidationPolicy = ConsolidationPolicy.WHEN_POSSIBLE
    after: float = 600.0  # seconds that it must have been possible without interruption
    budget: float = 0.1  # share of the pool's copies that may move in one go


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingPoolSpec:
    """Servers of one shape that share models."""

    server: ServerTemplate
    store: Store
    converter: Converter
    accelerator: Accelerator | None = None
    min_servers: int = 1
    max_servers: int = 1
    update_strategy: UpdateStrategy = UpdateStrategy.SURGE
    consolidation: Consolidation = Consolidation()
    slo_classes: Mapping[str, LatencyObjective] = field(default_factory=dict)
    dry_run: bool = False  # plan, say so in the status, and do nothing
    trusted_code: bool = False  # models that run code, trainers and own metrics are taken
    price_per_hour: float | None = None  # of one server, in whatever currency
