from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.unit.plan.world import model_spec, pool_spec

from tightship.api.accelerator import Accelerator, Sharing
from tightship.api.artifact import IntakeResult
from tightship.api.training import TrainingOptions
from tightship.api.v1alpha1 import (
    CODE_FORMATS,
    Better,
    Dataset,
    EvaluationSet,
    LatencyObjective,
    Metric,
    ModelFormat,
    Optimization,
    OwnMetric,
    Search,
    SearchStrategy,
    Techniques,
    Trainer,
)
from tightship.plan import inputs
from tightship.plan.inputs import PoolIdentity

if TYPE_CHECKING:
    from collections.abc import Callable

    from tightship.api.v1alpha1 import OptimizedModelSpec, ServingPoolSpec

    Pair = tuple[OptimizedModelSpec, ServingPoolSpec]

INTAKE = IntakeResult(source_digest="s", source_bytes=1)


def hashes(spec: OptimizedModelSpec, pool: ServingPoolSpec) -> tuple[str, str, str]:
    """Inputs, KEY, revision."""
    identity = PoolIdentity(pool)
    return (
        identity.inputs_hash(spec),
        identity.artifact_key(spec, INTAKE),
        inputs.server_revision(pool),
    )


def server(pool: ServingPoolSpec, **changes: object) -> ServingPoolSpec:
    return replace(pool, server=replace(pool.server, **changes))  # type: ignore[arg-type]


def model(spec: OptimizedModelSpec, **changes: object) -> OptimizedModelSpec:
    return replace(spec, model=replace(spec.model, **changes))  # type: ignore[arg-type]


def converter(pool: ServingPoolSpec, **changes: object) -> ServingPoolSpec:
    return replace(pool, converter=replace(pool.converter, **changes))  # type: ignore[arg-type]


def gated(spec: OptimizedModelSpec, **changes: object) -> OptimizedModelSpec:
    gate = replace(spec.optimization.gate, **changes)  # type: ignore[arg-type]
    return replace(spec, optimization=replace(spec.optimization, gate=gate))


def searched(spec: OptimizedModelSpec, search: Search) -> OptimizedModelSpec:
    return replace(spec, optimization=replace(spec.optimization, search=search))


def trained(spec: OptimizedModelSpec, **changes: object) -> OptimizedModelSpec:
    trainer = Trainer(storage_uri="s3://b/t.py", entrypoint="t:T")
    trainer = replace(trainer, **changes)  # type: ignore[arg-type]
    return replace(spec, optimization=replace(spec.optimization, trainer=trainer))


def judged(spec: OptimizedModelSpec, **changes: object) -> OptimizedModelSpec:
    metric = OwnMetric(storage_uri="s3://b/m.py", entrypoint="m.py:near")
    metric = replace(metric, **changes)  # type: ignore[arg-type]
    evaluation = EvaluationSet(storage_uri="s3://c", metric=None, own_metric=metric)
    return replace(spec, evaluation=evaluation)


CHANGES: dict[str, tuple[Callable[[OptimizedModelSpec, ServingPoolSpec], Pair], str]] = {
    "source": (lambda s, p: (model(s, storage_uri="s3://b"), p), "i"),
    "secret": (lambda s, p: (model(s, secret="x"), p), "i"),
    "pin": (lambda s, p: (model(s, digest="sha256:" + "0" * 64), p), "i"),
    "calibration": (lambda s, p: (replace(s, calibration=Dataset(storage_uri="s3://c")), p), "ik"),
    "evaluation": (
        lambda s, p: (replace(s, evaluation=EvaluationSet(storage_uri="s3://c")), p),
        "ik",
    ),
    "techniques": (
        lambda s, p: (replace(s, optimization=Optimization(techniques=Techniques(prune=False))), p),
        "k",
    ),
    "greatest drop": (lambda s, p: (gated(s, max_drop=0.02), p), "k"),
    "worst value": (lambda s, p: (gated(s, worst_value=0.0), p), "k"),
    "search": (lambda s, p: (searched(s, Search()), p), "k"),
    "trainer": (lambda s, p: (trained(s), p), "ik"),
    "metric of one's own": (lambda s, p: (judged(s), p), "ik"),
    "drop of a class": (lambda s, p: (gated(s, max_class_drop=0.0), p), "k"),
    "floor of a class": (lambda s, p: (gated(s, worst_class_value=0.0), p), "k"),
    "confidence": (lambda s, p: (gated(s, confidence=0.9), p), "k"),
    "objective of the class": (
        lambda s, p: (s, replace(p, slo_classes={"Interactive": LatencyObjective(target=1.0)})),
        "k",
    ),
    "replicas": (lambda s, p: (replace(s, serving=replace(s.serving, replicas=3)), p), ""),
    "priority": (lambda s, p: (replace(s, serving=replace(s.serving, priority=3)), p), ""),
    "converter image": (lambda s, p: (s, converter(p, image="c:2")), "ik"),
    "allowed hosts": (lambda s, p: (s, converter(p, allowed_hosts=("h",))), "i"),
    "concurrency": (lambda s, p: (s, converter(p, max_concurrent=9)), ""),
    "server image": (lambda s, p: (s, server(p, image="triton:2")), "kr"),
    "agent image": (lambda s, p: (s, server(p, agent_image="agent:2")), "r"),
    "node selector": (lambda s, p: (s, server(p, node_selector={"gpu": "t4"})), "kr"),
    "accelerator": (
        lambda s, p: (s, replace(p, accelerator=Accelerator(resource_name="g", memory=1))),
        "kr",
    ),
    "store": (lambda s, p: (s, replace(p, store=replace(p.store, uri="s3://x"))), "r"),
    "servers": (lambda s, p: (s, replace(p, max_servers=7)), ""),
    "trusted code of a format without code": (lambda s, p: (s, replace(p, trusted_code=True)), ""),
    "format": (lambda s, p: (model(s, format=ModelFormat.SKLEARN), p), "ik"),
    "format of torch": (lambda s, p: (model(s, format=ModelFormat.TORCH), p), "ik"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_changes_which_hash(name: str) -> None:
    change, letters = CHANGES[name]
    spec, pool = model_spec(), pool_spec()
    before, after = hashes(spec, pool), hashes(*change(spec, pool))
    assert "".join(c for c, x, y in zip("ikr", before, after, strict=True) if x != y) == letters


_MPS = Accelerator(memory=1, sharing=Sharing.MPS, replicas=4, compute_percent=20)
_CLAIM = Accelerator(memory=1, resource_name=None, sharing=Sharing.DRA, claim_template="a")
SHARES: dict[str, tuple[Accelerator, Accelerator, str]] = {
    "memory": (_MPS, replace(_MPS, memory=2), "r"),
    "replicas": (_MPS, replace(_MPS, replicas=2), "kr"),
    "compute": (_MPS, replace(_MPS, compute_percent=10), "kr"),
    "mode": (_MPS, replace(_MPS, sharing=Sharing.TIME_SLICING), "kr"),
    "claim": (_CLAIM, replace(_CLAIM, claim_template="b"), "kr"),
    "a slice under a device's name": (
        Accelerator(memory=1),
        Accelerator(memory=1, sharing=Sharing.MIG, profile="1g.10gb"),
        "kr",
    ),
    "a slice under its own name": (
        Accelerator(memory=1, resource_name="nvidia.com/mig-1g.10gb"),
        Accelerator(
            memory=1,
            resource_name="nvidia.com/mig-1g.10gb",
            sharing=Sharing.MIG,
            profile="1g.10gb",
        ),
        "",
    ),
}


@pytest.mark.parametrize("name", SHARES)
def test_what_a_server_gets_of_a_device_counts(name: str) -> None:
    first, second, letters = SHARES[name]
    spec, pool = model_spec(), pool_spec()
    before = hashes(spec, replace(pool, accelerator=first))
    after = hashes(spec, replace(pool, accelerator=second))
    assert "".join(c for c, x, y in zip("ikr", before, after, strict=True) if x != y) == letters


@pytest.mark.parametrize("code", sorted(CODE_FORMATS))
def test_trust_is_asked_anew_where_a_source_may_run_code(code: ModelFormat) -> None:
    spec, pool = model(model_spec(), format=code), pool_spec()
    before, after = hashes(spec, pool), hashes(spec, replace(pool, trusted_code=True))
    assert before[0] != after[0]
    assert before[1:] == after[1:]


def test_every_setting_of_a_search_counts() -> None:
    spec, pool = model_spec(), pool_spec()
    searches = [
        Search(),
        Search(strategy=SearchStrategy.GRID),
        Search(max_trials=21),
        Search(max_duration=601.0),
    ]
    keys = {hashes(searched(spec, search), pool)[1] for search in searches}
    assert len(keys) == len(searches)


TRAINERS: dict[str, tuple[dict[str, object], str]] = {
    "place": ({"storage_uri": "s3://b/u.py"}, "i"),
    "secret": ({"secret": "x"}, "i"),
    "entry point": ({"entrypoint": "t:U"}, "ik"),
    "option": ({"options": TrainingOptions(epochs=7)}, "k"),
    "default": ({"options": TrainingOptions(epochs=30)}, ""),
}


@pytest.mark.parametrize("name", TRAINERS)
def test_what_of_a_trainer_changes_which_hash(name: str) -> None:
    changes, letters = TRAINERS[name]
    before = hashes(trained(model_spec()), pool_spec())
    after = hashes(trained(model_spec(), **changes), pool_spec())
    assert "".join(c for c, x, y in zip("ikr", before, after, strict=True) if x != y) == letters


def test_key_depends_on_every_byte_of_a_trainer() -> None:
    identity, spec = PoolIdentity(pool_spec()), trained(model_spec())
    known = [replace(INTAKE, trainer_digest=digest) for digest in ("t", "u")]
    assert identity.artifact_key(spec, known[0]) != identity.artifact_key(spec, known[1])


METRICS: dict[str, tuple[dict[str, object], str]] = {
    "place": ({"storage_uri": "s3://b/n.py"}, "i"),
    "secret": ({"secret": "x"}, "i"),
    "entry point": ({"entrypoint": "m.py:far"}, "ik"),
    "direction": ({"better": Better.SMALLER}, "ik"),
}


@pytest.mark.parametrize("name", METRICS)
def test_what_of_a_metric_of_ones_own_changes_which_hash(name: str) -> None:
    changes, letters = METRICS[name]
    before = hashes(judged(model_spec()), pool_spec())
    after = hashes(judged(model_spec(), **changes), pool_spec())
    assert "".join(c for c, x, y in zip("ikr", before, after, strict=True) if x != y) == letters


def test_key_depends_on_every_byte_of_a_metric() -> None:
    identity, spec = PoolIdentity(pool_spec()), judged(model_spec())
    known = [replace(INTAKE, metric_digest=digest) for digest in ("t", "u", None)]
    assert len({identity.artifact_key(spec, intake) for intake in known}) == len(known)


def test_a_metric_and_a_trainer_are_told_apart() -> None:
    identity, spec = PoolIdentity(pool_spec()), trained(judged(model_spec()))
    known = [replace(INTAKE, trainer_digest=a, metric_digest=b) for a, b in ("tu", "ut")]
    assert identity.artifact_key(spec, known[0]) != identity.artifact_key(spec, known[1])


def test_metrics_and_classes_are_work_of_their_own() -> None:
    sets = [
        EvaluationSet(storage_uri="s3://c"),
        EvaluationSet(storage_uri="s3://c", metric=Metric.F1),
        EvaluationSet(storage_uri="s3://c", metric=Metric.F1, positive_class=0),
        EvaluationSet(storage_uri="s3://c", metric=Metric.F1, positive_class=1),
    ]
    found = [hashes(replace(model_spec(), evaluation=data), pool_spec())[:2] for data in sets]
    assert len({inputs for inputs, _ in found}) == len({key for _, key in found}) == len(sets)


@pytest.mark.parametrize("digests", [("x", None, None), ("s", "c", None), ("s", None, "c")])
def test_key_depends_on_every_byte(digests: tuple[str, str | None, str | None]) -> None:
    source, calibration, evaluation = digests
    other = IntakeResult(
        source_digest=source,
        source_bytes=1,
        calibration_digest=calibration,
        evaluation_digest=evaluation,
    )
    identity = PoolIdentity(pool_spec())
    assert identity.artifact_key(model_spec(), other) != identity.artifact_key(model_spec(), INTAKE)


@pytest.mark.parametrize(("cpu", "threads"), [(0.5, 1), (1.0, 1), (1.9, 1), (2.0, 2), (16.0, 16)])
def test_threads_are_the_whole_cores(cpu: float, threads: int) -> None:
    pool = pool_spec()
    resources = replace(pool.server.resources, cpu=cpu)
    assert inputs.threads(server(pool, resources=resources)) == threads


def test_hashes_are_the_same_in_every_release() -> None:
    key, revision = hashes(model_spec(), pool_spec())[1:]
    assert (key[:12], revision) == ("fc721276f62d", "6d9e15697f")
