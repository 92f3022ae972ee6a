"""The readers of `spec.data`: data files, and the metric that judges by them."""

from tightship.api.fields import Fields, SpecError, choice, integer, word
from tightship.api.uris import entrypoint, secret_name, source_uri
from tightship.api.v1alpha1 import Better, Dataset, EvaluationSet, Metric, OwnMetric

_SAMPLES = integer(1, 100_000)
_OWN = "own"
_NAME = word(*Metric, _OWN)


def data(value: object, path: str) -> tuple[Dataset | None, EvaluationSet | None]:
    """Calibration and evaluation; None for what is not there."""
    fields = Fields(value, path)
    calibration = fields.optional("calibration", _calibration, None)
    evaluation = fields.optional("evaluation", _evaluation, None)
    fields.end()
    return calibration, evaluation


def _calibration(value: object, path: str) -> Dataset:
    fields = Fields(value, path)
    dataset = Dataset(
        storage_uri=fields.required("storageUri", source_uri),
        secret=fields.optional("secretRef", secret_name, None),
        max_samples=fields.optional("maxSamples", _SAMPLES, 256),
    )
    fields.end()
    return dataset


def _evaluation(value: object, path: str) -> EvaluationSet:
    fields = Fields(value, path)
    metric, positive, own = fields.optional("metric", _metric, (Metric.ACCURACY, None, None))
    dataset = EvaluationSet(
        storage_uri=fields.required("storageUri", source_uri),
        secret=fields.optional("secretRef", secret_name, None),
        max_samples=fields.optional("maxSamples", _SAMPLES, 2000),
        metric=metric,
        positive_class=positive,
        own_metric=own,
    )
    fields.end()
    return dataset


def _metric(value: object, path: str) -> tuple[Metric | None, int | None, OwnMetric | None]:
    """(the built-in metric, the class of f1, the user's own metric)."""
    fields = Fields(value, path)
    name = fields.optional("name", _NAME, Metric.ACCURACY.value)
    positive = fields.optional("positiveClass", integer(0, 1_000_000), None)
    own = fields.optional("own", _own, None)
    fields.end()
    if positive is not None and name != Metric.F1:
        raise SpecError(f"{path}: positiveClass belongs to the metric f1")
    if name == _OWN and own is None:
        raise SpecError(
            f"{path}: the metric own is code of yours; say in the field own where it lies, by "
            "storageUri and entrypoint"
        )
    if name != _OWN and own is not None:
        raise SpecError(
            f"{path}: the field own is for a metric of yours; write name: own to be judged by it, "
            "or leave the field out"
        )
    return (None if own else Metric(name)), positive, own


def _own(value: object, path: str) -> OwnMetric:
    fields = Fields(value, path)
    found = OwnMetric(
        storage_uri=fields.required("storageUri", source_uri),
        entrypoint=fields.required("entrypoint", entrypoint),
        secret=fields.optional("secretRef", secret_name, None),
        better=fields.optional("better", choice(Better), None),
    )
    fields.end()
    return found
