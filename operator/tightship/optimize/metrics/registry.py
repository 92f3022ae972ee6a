"""All metrics by name, and what the rest of the optimizer asks of them."""

from tightship.api.v1alpha1 import Metric
from tightship.optimize.metrics import classification, fidelity, ranking, regression, text
from tightship.optimize.metrics.base import Definition, Judged, Traits, Truth
from tightship.optimize.runtime import Outputs

DEFINITIONS: dict[Metric, Definition] = {
    **classification.DEFINITIONS,
    **ranking.DEFINITIONS,
    **text.DEFINITIONS,
    **regression.DEFINITIONS,
    **fidelity.DEFINITIONS,
}


def traits(metric: str | None) -> Traits:
    """Of a metric by its name; of agreement with the original for None."""
    return DEFINITIONS[Metric(metric)].traits if metric else fidelity.AGREEMENT_TRAITS


def check(metric: Metric, truth: Truth) -> Truth:
    """Labels in the one form that `judge` takes.

    Raises:
        RefusalError: they are not what the metric needs; the message says what it does.
    """
    return DEFINITIONS[metric].check(truth)


def judge(metric: str | None, truth: Truth | None, reference: Outputs, outputs: Outputs) -> Judged:
    """What the metric, or without one the agreement with the reference, finds in answers.

    Raises:
        RefusalError: no output fits the metric.
    """
    if metric is None or truth is None:
        return fidelity.agreement(reference, outputs)
    return DEFINITIONS[Metric(metric)].judge(outputs, truth)
