"""Traffic of models: samples a second and how bursty they come, from a file and from flags.

The file is YAML (docs/plan.md): `models: {NAME: {rate: 120, cv: 1.5}}`; the name `*` stands for all
models that are not named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import yaml

from tightship.plan.traffic import read_traffic
from tightship.whatif.errors import QuestionError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

OTHERS = "*"
_FIELDS = {"rate", "cv"}
_LISTED = 5  # names that an error tells


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Load of one model: `rate` in samples a second over all copies.

    `cv` is the coefficient of variation of the time between arrivals: 1 for independent clients, 0
    for a metronome, above 1 where they come in bursts.
    """

    rate: float
    cv: float = 1.0

    def times(self, factor: float) -> Traffic:
        """As bursty, at another rate."""
        return replace(self, rate=self.rate * factor)


def read(text: str, origin: str) -> dict[str, Traffic]:
    """The traffic in a file, by name of the model.

    Raises:
        QuestionError: not YAML, an unknown field, or a figure that no traffic has.
    """
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise QuestionError(f"{origin}: not YAML: {' '.join(str(error).split())}") from error
    models = value.get("models") if isinstance(value, dict) else None
    if not isinstance(models, dict) or set(value) != {"models"}:
        raise QuestionError(f"{origin}: must hold models: {{NAME: {{rate: 120, cv: 1.5}}}}")
    return {
        str(name): _traffic(entry, f"{origin}: models.{name}") for name, entry in models.items()
    }


def flag(text: str) -> tuple[str, Traffic]:
    """One flag: NAME=RATE or NAME=RATE,CV.

    Raises:
        QuestionError: it is neither.
    """
    name, separator, figures = text.partition("=")
    rate, _, cv = figures.partition(",")
    if not (name and separator and rate):
        raise QuestionError(f"--rate {text}: must be NAME=RATE or NAME=RATE,CV, such as digits=120")
    entry = {"rate": rate} | ({"cv": cv} if cv else {})
    return name, _traffic(entry, f"--rate {text}")


def of_status(status: Mapping[str, Any]) -> Traffic | None:
    """What clients ask now, as the model's status tells it; None where it does not."""
    live = read_traffic(status)
    if live is None:
        return None
    return Traffic(rate=live.rate * (live.rows or 1.0), cv=1.0 if live.cv is None else live.cv)


def of_all(given: Mapping[str, Traffic], models: Iterable[str]) -> dict[str, Traffic]:
    """The traffic of each model.

    Raises:
        QuestionError: a model has none, or a name is of no model.
    """
    wanted = list(models)
    unknown = sorted(set(given) - set(wanted) - {OTHERS})
    if unknown:
        raise QuestionError(
            f"traffic of {_listed(unknown)}, which no model is called; there are {_listed(wanted)}"
        )
    missing = [name for name in wanted if name not in given] if OTHERS not in given else []
    if missing:
        raise QuestionError(
            f"no traffic of {_listed(missing)}; give it in the file of --traffic, or by "
            f"--rate {missing[0]}=SAMPLES_A_SECOND, or one for all others by --rate '*=10'"
        )
    return {name: given.get(name) or given[OTHERS] for name in wanted}


def _traffic(entry: object, where: str) -> Traffic:
    if not isinstance(entry, dict) or "rate" not in entry or set(entry) - _FIELDS:
        raise QuestionError(f"{where}: must have rate, and may have cv, and nothing else")
    return Traffic(
        rate=_number(entry["rate"], f"{where}.rate"), cv=_number(entry.get("cv", 1), f"{where}.cv")
    )


def _number(value: object, where: str) -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number) or number < 0:
        raise QuestionError(f"{where}: must be a number of at least 0, not {str(value)[:40]!r}")
    return number


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(names[:_LISTED]) + more
