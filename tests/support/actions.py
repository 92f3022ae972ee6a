"""Actions for tests of what they are rendered to: one pool with everything, one with nothing."""

from dataclasses import replace

from tests.support import accelerators, documents

from tightship.api.parse import parse_model, parse_pool
from tightship.api.v1alpha1 import EvaluationSet, ServingPoolSpec
from tightship.plan.actions import (
    ApplyConvertJob,
    ApplyEvaluateJob,
    ApplyIntakeJob,
    ApplyModelService,
    ApplyServers,
    ApplySweep,
    Owner,
)

NAMESPACE = "search"
POOL = Owner(kind="ServingPool", name="shared", uid="00000000-0000-0000-0000-000000000001")
MODELS = tuple(
    Owner(kind="OptimizedModel", name=name, uid=f"00000000-0000-0000-0000-00000000000{number}")
    for number, name in ((3, "intent"), (2, "intent-copy"))
)
FULL = (parse_model(documents.FULL_MODEL), parse_pool(documents.FULL_POOL))
OWN = (parse_model(documents.OWN_MODEL), FULL[1])
MINIMAL = (parse_model(documents.MINIMAL_MODEL), parse_pool(documents.MINIMAL_POOL))


def servers(*, full: bool) -> ApplyServers:
    pool = (FULL if full else MINIMAL)[1]
    return ApplyServers(
        pool="shared",
        owner=POOL,
        spec=pool,
        replicas=2,
        revision="3fa9c1d2e4",
        reason="2 servers are needed",
    )


def on_device(name: str) -> ServingPoolSpec:
    """A pool with the accelerator of that name."""
    return parse_pool(accelerators.pool(accelerators.TAKEN[name]))


def sweep(*, full: bool) -> ApplySweep:
    pool = FULL[1]
    if not full:
        pool = replace(MINIMAL[1], store=replace(MINIMAL[1].store, retention=3600.0))
    keys = ("2b" * 32, "70" * 32) if full else ()
    return ApplySweep(pool="shared", owner=POOL, spec=pool, keys=keys, reason="artifacts in use")


def service() -> ApplyModelService:
    return ApplyModelService(model="intent", pool="shared", owner=MODELS[0], reason="routed")


def intake(*, full: bool) -> ApplyIntakeJob:
    model, pool = FULL if full else MINIMAL
    return ApplyIntakeJob(
        inputs=("1a" if full else "6f") * 32,
        owners=MODELS,
        pool="shared",
        pool_spec=pool,
        model_spec=model,
        reason="its bytes are not known",
    )


def own_intake() -> ApplyIntakeJob:
    return replace(intake(full=True), model_spec=OWN[0])


def own_convert() -> ApplyConvertJob:
    return replace(
        convert(full=True),
        model_spec=OWN[0],
        calibration_digest=None,
        trainer_digest=None,
        metric_digest="7a" * 32,
    )


def convert(*, full: bool) -> ApplyConvertJob:
    model, pool = FULL if full else MINIMAL
    return ApplyConvertJob(
        key=("2b" if full else "70") * 32,
        owners=MODELS if full else MODELS[:1],
        pool="shared",
        pool_spec=pool,
        model_spec=model,
        source_digest="3c" * 32,
        calibration_digest="4d" * 32 if full else None,
        evaluation_digest="5e" * 32 if full else None,
        trainer_digest="6f" * 32 if full else None,
        reason="nothing of this KEY is in the store",
    )


def own_evaluate() -> ApplyEvaluateJob:
    """By a metric of one's own."""
    return replace(evaluate(full=True), model_spec=OWN[0])


def evaluate(*, full: bool) -> ApplyEvaluateJob:
    model, pool = FULL if full else MINIMAL
    if not full:
        model = replace(model, evaluation=EvaluationSet(storage_uri="s3://data/evaluation.npz"))
    return ApplyEvaluateJob(
        inputs=("8b" if full else "9c") * 32,
        owners=MODELS,
        pool="shared",
        pool_spec=pool,
        model_spec=model,
        key="2b" * 32,
        digest="7a" * 32,
        reason="it is to be evaluated again",
    )
