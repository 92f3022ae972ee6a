"""What the baseline alone tells of a gate: that the original misses it, or that nothing passes."""

from tightship.optimize.conversion import Conversion
from tightship.optimize.gate.needs import joined


def missed(conversion: Conversion) -> list[str]:
    """That the original itself is worse than the worst values that the gate takes."""
    return _missed_value(conversion) + _missed_class(conversion)


def _missed_value(conversion: Conversion) -> list[str]:
    worst, value = conversion.request.worst_value, conversion.baseline.get("metric")
    if worst is None or value is None or conversion.metric.loss(worst, value) <= 0:
        return []
    told = (
        f"the original's own {conversion.metric.name} of {value:.4f} is worse than the worstValue "
        f"of {worst:g}: it is served all the same, and a candidate would have to be better"
    )
    return [told]


def _missed_class(conversion: Conversion) -> list[str]:
    worst, lowest = conversion.request.worst_class_value, conversion.baseline.get("lowestClass")
    if worst is None or lowest is None or lowest["recall"] >= worst:
        return []
    told = (
        f"the original's own recall of class {lowest['label']}, {lowest['recall']:.4f} on "
        f"{lowest['n']} samples, is below the worstClassValue of {worst:g}: it is served all the "
        "same, and a candidate would have to be better"
    )
    return [told]


def unjudged(conversion: Conversion) -> str:
    """Why no candidate can pass, whatever it is; empty when one can."""
    if not conversion.baseline.get("samples", 0):
        return (
            "there are no data to judge it by: give data.evaluation with labels, or "
            "data.calibration to compare outputs"
        )
    shortfalls = conversion.baseline["needs"]["shortfalls"]
    if not shortfalls:
        return ""
    reason = joined(shortfalls)
    conversion.warnings.append(reason)
    return reason
