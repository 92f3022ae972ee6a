"""OptimizedModels and ServingPools as a user gives them: parsed as the operator parses them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from tightship.api import names
from tightship.api.parse import SpecError, parse_model, parse_pool
from tightship.report.markup import visible
from tightship.whatif.errors import QuestionError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import TypeVar

    from tightship.api.v1alpha1 import OptimizedModelSpec, ServingPoolSpec

    T = TypeVar("T")


_NAME = re.compile(names.MODEL_NAME_PATTERN)
_SHOWN = 60  # characters of a name that an error shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """An OptimizedModel; `status` is empty where it comes from a file without one."""

    name: str
    spec: OptimizedModelSpec
    status: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """A ServingPool."""

    name: str
    spec: ServingPoolSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """Models and pools by name."""

    models: Mapping[str, Model] = field(default_factory=dict)
    pools: Mapping[str, Pool] = field(default_factory=dict)

    def under(self, other: Resources) -> Resources:
        """Both; where a name is in both, the other's spec with what is known of it here."""
        models = dict(self.models)
        for name, model in other.models.items():
            known = models[name].status if name in models and not model.status else model.status
            models[name] = Model(name=name, spec=model.spec, status=known)
        return Resources(models=models, pools={**self.pools, **other.pools})


def read(text: str, origin: str) -> Resources:
    """The resources of ours in a YAML file, lists of kubectl included; other kinds are passed over.

    Raises:
        QuestionError: no YAML, a spec that the operator refuses, or a name that is there twice.
    """
    try:
        documents = list(yaml.safe_load_all(text))
    except yaml.YAMLError as error:
        raise QuestionError(f"{origin}: not YAML: {' '.join(str(error).split())}") from error
    return collect(documents, origin)


def collect(documents: Iterable[object], origin: str) -> Resources:
    """The resources of ours among parsed documents.

    Raises:
        QuestionError: as `read`.
    """
    models: dict[str, Model] = {}
    pools: dict[str, Pool] = {}
    for document in _flat(documents):
        kind = document.get("kind")
        if kind == names.OPTIMIZED_MODEL:
            name, spec = _parsed(document, parse_model, origin)
            status = document.get("status")
            model = Model(name=name, spec=spec, status=status if isinstance(status, dict) else {})
            _add(models, name, model, f"{origin}: {kind} {name}")
        elif kind == names.SERVING_POOL:
            name, pool = _parsed(document, parse_pool, origin)
            _add(pools, name, Pool(name=name, spec=pool), f"{origin}: {kind} {name}")
    return Resources(models=models, pools=pools)


def _flat(documents: Iterable[object]) -> Iterable[dict[str, Any]]:
    for document in documents:
        if not isinstance(document, dict):
            continue
        items = document.get("items")
        if isinstance(items, list) and str(document.get("kind", "")).endswith("List"):
            yield from _flat(items)
        else:
            yield document


def _parsed(document: dict[str, Any], parse: Callable[[object], T], origin: str) -> tuple[str, T]:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    what = f"{origin}: {document['kind']} {visible(str(name))[:_SHOWN]}"
    if not isinstance(name, str) or not _NAME.fullmatch(name) or len(name) > names.MODEL_NAME_MAX:
        raise QuestionError(
            f"{what}: metadata.name must be a lower-case letter, then letters, digits and -, at "
            f"most {names.MODEL_NAME_MAX} characters"
        )
    if document.get("apiVersion") != names.API_VERSION:
        raise QuestionError(f"{what}: apiVersion must be {names.API_VERSION}")
    try:
        return name, parse(document.get("spec"))
    except SpecError as error:
        raise QuestionError(f"{what}: {error}") from error


def _add(found: dict[str, T], name: str, value: T, what: str) -> None:
    if name in found:
        raise QuestionError(f"{what}: is there twice; keep one of them")
    found[name] = value
