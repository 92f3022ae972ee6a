"""Latency objectives as both kinds write them: in a model's SLO and in a pool's classes."""

from tightship.api.fields import Fields, duration, one_of_numbers, text
from tightship.api.v1alpha1 import LatencyObjective

slo_class = text(
    r"[A-Za-z]([-A-Za-z0-9]{0,38}[A-Za-z0-9])?",
    "a class name: a letter, then letters, digits and -, at most 40 characters",
    40,
)
"""The name of an SLO class, such as Interactive."""


def latency(value: object, path: str) -> LatencyObjective:
    """At most `target` at `percentile`."""
    fields = Fields(value, path)
    objective = LatencyObjective(
        percentile=fields.optional("percentile", one_of_numbers(50, 90, 95, 99), 99),
        target=fields.required("target", duration("1ms", "10m")),
    )
    fields.end()
    return objective


def class_latency(value: object, path: str) -> LatencyObjective:
    """One class of a pool."""
    fields = Fields(value, path)
    objective = fields.required("latency", latency)
    fields.end()
    return objective
