"""The file that `tightship slices` reads: an accelerator, models, what was measured of them."""

import math
from dataclasses import dataclass

import yaml

from tightship.api.fields import (
    Fields,
    Reader,
    SpecError,
    duration,
    integer,
    mapping,
    memory,
    sequence,
    string,
    word,
)  # fmt: skip
from tightship.plan.mig.geometry import GEOMETRIES, Geometry
from tightship.plan.mig.profile import Point, Workload

_MOST_MODELS = 200
_MOST_POINTS = 200
_MOST_RATE = 1e9


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be cut, and for whom."""

    geometry: Geometry
    workloads: tuple[Workload, ...]


def read(text: str) -> Question:
    """The question in a YAML file.

    Raises:
        SpecError: it is not YAML, or a field is missing, unknown or out of bounds.
    """
    try:
        raw = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SpecError(f"not YAML: {' '.join(str(error).split())}") from error
    fields = Fields(raw, "file")
    geometry = GEOMETRIES[fields.required("accelerator", word(*GEOMETRIES))]
    models = fields.required("models", sequence(_workload(geometry), _MOST_MODELS))
    fields.end()
    if not models:
        raise SpecError("file.models: must have a model")
    names = [one.model for one in models]
    for name in names:
        if names.count(name) > 1:
            raise SpecError(f"file.models: {name} is there twice: add up its rates")
    return Question(geometry, models)


def _workload(geometry: Geometry) -> Reader[Workload]:
    kinds = word(*(kind.name for kind in geometry.kinds))

    def take(value: object, path: str) -> Workload:
        fields = Fields(value, path)
        points = fields.required(
            "points", mapping(kinds, sequence(_point, _MOST_POINTS), len(geometry.kinds))
        )
        found = Workload(
            model=fields.required("name", string),
            rate=fields.required("rate", _rate),
            slo=fields.required("latency", duration("1ms", "1h")),
            points=points,
        )
        fields.end()
        return found

    return take


def _point(value: object, path: str) -> Point:
    fields = Fields(value, path)
    found = Point(
        batch=fields.required("batch", integer(1, 65536)),
        processes=fields.optional("processes", integer(1, 48), 1),
        rate=fields.required("rate", _rate),
        latency=fields.required("latency", duration("0.001ms", "1h")),
        memory=fields.optional("memory", memory("1", "1Ti"), None),
    )
    fields.end()
    return found


def _rate(value: object, path: str) -> float:
    """Items a second: a number above 0."""
    number = value if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
    if not 0 < number <= _MOST_RATE:
        raise SpecError(f"{path}: must be a number of items a second above 0")
    return float(number)
