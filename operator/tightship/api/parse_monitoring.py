"""The parse functions of `spec.monitoring`."""

from tightship.api import schedule
from tightship.api.fields import Fields, SpecError, decimal, duration, integer, string
from tightship.api.schedule import Schedule
from tightship.api.v1alpha1 import Drift, Monitoring


def monitoring(value: object, path: str) -> Monitoring:
    """What is watched about a model.

    Raises:
        SpecError: the first field that is wrong, and what it must be.
    """
    fields = Fields(value, path)
    found = Monitoring(
        max_age=fields.optional("maxAge", duration("1m", "8760h"), None),
        schedule=fields.optional("evaluation", _evaluation, None),
        drift=fields.optional("drift", _drift, None),
    )
    fields.end()
    return found


def _evaluation(value: object, path: str) -> Schedule:
    fields = Fields(value, path)
    found = fields.required("schedule", _schedule)
    fields.end()
    return found


def _schedule(value: object, path: str) -> Schedule:
    plain = string(value, path)
    try:
        return schedule.parse(plain)
    except ValueError as error:
        raise SpecError(f"{path}: {error}") from None


def _drift(value: object, path: str) -> Drift:
    fields = Fields(value, path)
    default = Drift()
    drift = Drift(
        max_psi=fields.optional("maxPSI", decimal("0.05", "10"), default.max_psi),
        sample_rate=fields.optional("sampleRate", decimal("0.0001", "1"), default.sample_rate),
        samples=fields.optional("samples", integer(100, 100_000), default.samples),
    )
    fields.end()
    return drift
