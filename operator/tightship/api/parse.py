"""Total parse functions: a resource's spec as JSON in, a frozen value or one plain sentence out.

They are exactly as strict as the schemas in `crds/`; a property test against a real API server
holds both equal. Bounds and their reasons are described there, field by field.
"""

from tightship.api import names
from tightship.api.fields import (
    Fields,
    SpecError,
    boolean,
    choice,
    decimal,
    duration,
    integer,
    text,
)
from tightship.api.objectives import latency, slo_class
from tightship.api.parse_data import data
from tightship.api.parse_monitoring import monitoring
from tightship.api.parse_pool import parse_pool
from tightship.api.parse_trainer import trainer
from tightship.api.uris import secret_name, source_uri
from tightship.api.v1alpha1 import (
    CLASS_METRICS,
    LABEL_UNIT_METRICS,
    AccuracyGate,
    DynamicBatching,
    EvaluationSet,
    ModelFormat,
    ModelSource,
    Monitoring,
    Objective,
    Optimization,
    OptimizedModelSpec,
    Search,
    SearchStrategy,
    Serving,
    Slo,
    Techniques,
)

__all__ = ["SpecError", "parse_model", "parse_pool"]

_POOL_NAME = text(
    names.MODEL_NAME_PATTERN,
    "the name of a ServingPool: a lower-case letter, then letters, digits and -",
    names.MODEL_NAME_MAX,
)


def parse_model(spec: object) -> OptimizedModelSpec:
    """The spec of an OptimizedModel with every default filled in.

    Raises:
        SpecError: the first field that is wrong, and what it must be.
    """
    fields = Fields(spec, "spec")
    model = fields.required("model", _source)
    calibration, evaluation = fields.optional("data", data, (None, None))
    parsed = OptimizedModelSpec(
        model=model,
        calibration=calibration,
        evaluation=evaluation,
        optimization=fields.optional("optimization", _optimization, Optimization()),
        serving=fields.required("serving", _serving),
        monitoring=fields.optional("monitoring", monitoring, Monitoring()),
    )
    fields.end()
    _check_pin(parsed)
    _check_schedule(parsed)
    _check_gate(parsed.optimization.gate, evaluation)
    return parsed


def _check_pin(spec: OptimizedModelSpec) -> None:
    """Looks are for what may change."""
    pinned = spec.model.digest is not None and not (spec.calibration or spec.evaluation)
    if pinned and spec.model.refresh_interval > 0:
        raise SpecError(
            "spec.model: digest pins the source and there are no data, so refreshInterval has "
            "nothing to look for; remove one of them"
        )


def _check_schedule(spec: OptimizedModelSpec) -> None:
    """An evaluation needs something to evaluate on."""
    if spec.monitoring.schedule is not None and spec.evaluation is None:
        raise SpecError(
            "spec.monitoring: evaluation needs data.evaluation, whose data and metric it takes; "
            "give both or none"
        )


def _check_gate(gate: AccuracyGate, evaluation: EvaluationSet | None) -> None:
    """What the gate may ask depends on the metric."""
    path = "spec.optimization.accuracyGate"
    metric = evaluation.metric if evaluation else None
    own = evaluation is not None and evaluation.own_metric is not None
    ratio = not own and metric not in LABEL_UNIT_METRICS
    if ratio and max(gate.max_drop, gate.worst_value or 0.0) > 1:
        raise SpecError(
            f"{path}: maxDrop and worstValue may be above 1 for the metrics mae, rmse and own "
            'alone; a point of accuracy is "0.01"'
        )
    of_classes = (gate.max_class_drop, gate.worst_class_value)
    if metric not in CLASS_METRICS and of_classes != (None, None):
        raise SpecError(
            f"{path}: maxClassDrop and worstClassValue need data.evaluation with the metric "
            "accuracy or f1, which see classes"
        )


def _source(value: object, path: str) -> ModelSource:
    fields = Fields(value, path)
    source = ModelSource(
        storage_uri=fields.required("storageUri", source_uri),
        format=fields.optional("modelFormat", _format, ModelFormat.ONNX),
        secret=fields.optional("secretRef", secret_name, None),
        digest=fields.optional(
            "digest",
            text(r"sha256:[0-9a-f]{64}", "sha256: and 64 lower-case hexadecimal digits", 71),
            None,
        ),
        refresh_interval=fields.optional("refreshInterval", _interval, 0.0),
    )
    fields.end()
    return source


def _interval(value: object, path: str) -> float:
    seconds = duration("0s", "8760h")(value, path)
    if 0 < seconds < 60:  # noqa: PLR2004 (said in the sentence)
        raise SpecError(f"{path}: must be 0s, or a duration from 1m to 8760h")
    return seconds


def _format(value: object, path: str) -> ModelFormat:
    fields = Fields(value, path)
    name = fields.optional("name", choice(ModelFormat), ModelFormat.ONNX)
    fields.end()
    return name


def _optimization(value: object, path: str) -> Optimization:
    fields = Fields(value, path)
    optimization = Optimization(
        techniques=fields.optional("techniques", _techniques, Techniques()),
        gate=fields.optional("accuracyGate", _gate, AccuracyGate()),
        objective=fields.optional("objective", choice(Objective), Objective.LATENCY),
        min_speedup=fields.optional("minSpeedup", decimal("1", "100"), 1.05),
        search=fields.optional("search", _search, None),
        trainer=fields.optional("trainer", trainer, None),
    )
    fields.end()
    return optimization


def _search(value: object, path: str) -> Search:
    fields = Fields(value, path)
    search = Search(
        strategy=fields.optional("strategy", choice(SearchStrategy), SearchStrategy.TPE),
        max_trials=fields.optional("maxTrials", integer(1, 1000), 20),
        max_duration=fields.optional("maxDuration", duration("10s", "24h"), 600.0),
    )
    fields.end()
    return search


def _techniques(value: object, path: str) -> Techniques:
    fields = Fields(value, path)
    sparsity = fields.optional("prune", _sparsity, None)
    techniques = Techniques(
        quantize=fields.optional("quantize", _switch, False),
        half_precision=fields.optional("halfPrecision", _switch, False),
        openvino=fields.optional("openvino", _switch, False),
        prune=sparsity is not None,
        prune_sparsity=0.5 if sparsity is None else sparsity,
    )
    fields.end()
    return techniques


def _sparsity(value: object, path: str) -> float:
    fields = Fields(value, path)
    sparsity = fields.optional("sparsity", decimal("0.05", "0.95"), 0.5)
    fields.end()
    return sparsity


def _switch(value: object, path: str) -> bool:
    Fields(value, path).end()
    return True


def _gate(value: object, path: str) -> AccuracyGate:
    fields = Fields(value, path)
    gate = AccuracyGate(
        max_drop=fields.optional("maxDrop", decimal("0", "999"), 0.01),
        worst_value=fields.optional("worstValue", decimal("0", "999"), None),
        max_class_drop=fields.optional("maxClassDrop", decimal("0", "1"), None),
        worst_class_value=fields.optional("worstClassValue", decimal("0", "1"), None),
        confidence=fields.optional("confidence", decimal("0.5", "0.999"), 0.95),
    )
    fields.end()
    return gate


def _serving(value: object, path: str) -> Serving:
    fields = Fields(value, path)
    serving = Serving(
        pool=fields.required("poolRef", _pool),
        slo=fields.optional("slo", _slo, Slo()),
        priority=fields.optional("priority", integer(0, 1000), 100),
        replicas=fields.optional("replicas", integer(1, 64), 1),
        dynamic_batching=fields.optional("dynamicBatching", _batching, DynamicBatching()),
        response_cache=fields.optional("responseCache", _switch, False),
    )
    fields.end()
    return serving


def _pool(value: object, path: str) -> str:
    fields = Fields(value, path)
    name = fields.required("name", _POOL_NAME)
    fields.end()
    return name


def _slo(value: object, path: str) -> Slo:
    fields = Fields(value, path)
    slo = Slo(
        class_name=fields.optional("class", slo_class, "Interactive"),
        latency=fields.optional("latency", latency, None),
    )
    fields.end()
    return slo


def _batching(value: object, path: str) -> DynamicBatching:
    fields = Fields(value, path)
    batching = DynamicBatching(
        enabled=fields.optional("enabled", boolean, True),
        max_queue_delay=fields.optional("maxQueueDelay", duration("0s", "10s"), 0.0),
    )
    fields.end()
    return batching
