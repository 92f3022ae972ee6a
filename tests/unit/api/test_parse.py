"""Parsing of specs: defaults, units, refusals, and that nothing but a SpecError ever comes out."""

import dataclasses
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.support import accelerators, corpus, documents
from tests.support.cache import REPOSITORY
from tests.support.corpus import BadManifest

from tightship.api import names, schedule
from tightship.api.accelerator import Accelerator, Sharing
from tightship.api.parse import SpecError, parse_model, parse_pool
from tightship.api.training import TrainingOptions
from tightship.api.v1alpha1 import (
    AccuracyGate,
    Better,
    Consolidation,
    ConsolidationPolicy,
    Dataset,
    Drift,
    EvaluationSet,
    LatencyObjective,
    Metric,
    ModelFormat,
    Monitoring,
    OptimizedModelSpec,
    OwnMetric,
    Resources,
    Search,
    SearchStrategy,
    Serving,
    ServingPoolSpec,
    Slo,
    Techniques,
    Toleration,
    Trainer,
    UpdateStrategy,
)

GI = 2**30
_ON_DEVICES = tuple(map(accelerators.pool, accelerators.TAKEN.values()))


def test_a_minimal_model_has_the_defaults_of_the_values() -> None:
    parsed = parse_model(documents.MINIMAL_MODEL)
    assert parsed == OptimizedModelSpec(model=parsed.model, serving=Serving(pool="shared"))
    assert dataclasses.replace(parsed.model, storage_uri="") == type(parsed.model)(storage_uri="")


def test_a_minimal_pool_has_the_defaults_of_the_values() -> None:
    parsed = parse_pool(documents.MINIMAL_POOL)
    server, converter = parsed.server, parsed.converter
    assert parsed == ServingPoolSpec(
        server=type(server)(
            image="triton", agent_image="operator", resources=Resources(cpu=1.0, memory=GI)
        ),
        store=parsed.store,
        converter=type(converter)(
            image="converter", resources=Resources(cpu=2.0, memory=2_000_000_000)
        ),
    )


def test_a_full_model() -> None:
    parsed = parse_model(documents.FULL_MODEL)
    assert parsed.model.format is ModelFormat.TRITON
    assert parsed.calibration == Dataset(
        storage_uri="pvc://data/intent/calibration.npz", secret="data.s3", max_samples=64
    )
    assert parsed.evaluation == EvaluationSet(
        storage_uri="s3://data/evaluation.npz",
        secret="data",
        max_samples=500,
        metric=Metric.F1,
        positive_class=3,
    )
    assert parsed.optimization.gate == AccuracyGate(
        max_drop=0.02,
        worst_value=0.75,
        max_class_drop=0.1,
        worst_class_value=0.6,
        confidence=0.9,
    )
    assert parsed.optimization.techniques.prune_sparsity == 0.7
    assert parsed.optimization.search == Search(
        strategy=SearchStrategy.RANDOM, max_trials=12, max_duration=90.0
    )
    assert parsed.optimization.trainer == Trainer(
        storage_uri="s3://models/intent/trainer.tar.gz",
        entrypoint="train.digits:Digits",
        secret="trainer",
        options=TrainingOptions(
            techniques=("channels", "zeros"),
            epochs=12,
            batch_size=128,
            optimizer="sgd",
            learning_rate=0.05,
            schedule="one-cycle",
            l1=0.0001,
            l2=0.0,
            precision="bf16",
            patience=3,
            temperature=4.0,
            alpha=0.7,
            seed=11,
            seconds=300.0,
        ),
    )
    assert parsed.serving.slo == Slo(
        class_name="Batch", latency=LatencyObjective(target=90.0, percentile=95)
    )
    assert parsed.serving.dynamic_batching.max_queue_delay == 0.0025
    assert parsed.serving.response_cache
    assert parsed.monitoring == Monitoring(
        max_age=720 * 3600.0,
        schedule=schedule.parse("0 3 * * 1"),
        drift=Drift(max_psi=0.25, sample_rate=0.05, samples=1000),
    )


def test_an_empty_search_has_the_defaults_of_the_values() -> None:
    document = documents.changed(documents.FULL_MODEL, ("optimization", "search"), {})
    assert parse_model(document).optimization.search == Search()


def test_a_trainer_has_the_defaults_of_the_command_line() -> None:
    trainer = {"storageUri": "s3://code/train.py", "entrypoint": "train:T"}
    document = documents.changed(documents.FULL_MODEL, ("optimization", "trainer"), trainer)
    assert parse_model(document).optimization.trainer == Trainer(
        storage_uri="s3://code/train.py", entrypoint="train:T", options=TrainingOptions()
    )


def test_a_metric_of_ones_own() -> None:
    parsed = parse_model(documents.OWN_MODEL)
    assert parsed.evaluation is not None
    assert parsed.evaluation.metric is None
    assert parsed.own_metric == OwnMetric(
        storage_uri="pvc://code/metrics.tar.gz",
        entrypoint="metrics/distance.py:near",
        secret="metric",
        better=Better.SMALLER,
    )
    assert parsed.optimization.gate.max_drop == 7.5


def test_a_metric_of_ones_own_says_its_direction_itself() -> None:
    place = ("data", "evaluation", "metric", "own")
    code = {"storageUri": "s3://code/metric.py", "entrypoint": "metric:near"}
    parsed = parse_model(documents.changed(documents.OWN_MODEL, place, code))
    assert parsed.own_metric == OwnMetric(
        storage_uri="s3://code/metric.py", entrypoint="metric:near"
    )
    assert parse_model(documents.FULL_MODEL).own_metric is None


@pytest.mark.parametrize("entry", documents.ENTRY_POINTS)
def test_entry_points_of_trainers_and_metrics_have_the_same_forms(entry: str) -> None:
    for document in documents.with_entry_point(entry):
        if documents.ENTRY_POINTS[entry]:
            assert parse_model(document).serving.pool
        else:
            with pytest.raises(SpecError, match=r"entrypoint: must be"):
                parse_model(document)


def test_a_full_pool() -> None:
    parsed = parse_pool(documents.FULL_POOL)
    assert parsed.accelerator == Accelerator(
        resource_name="nvidia.com/mig-1g.10gb",
        sharing=Sharing.MIG,
        profile="1g.10gb",
        memory=int(9.5 * GI),
    )
    assert parsed.price_per_hour == 1.25
    assert parsed.server.resources == Resources(cpu=1.5, memory=24 * GI, cpu_limit=4.0)
    assert parsed.server.tolerations[1] == Toleration(
        key="spot", value="yes", effect="NoExecute", toleration_seconds=60
    )
    assert parsed.update_strategy is UpdateStrategy.DRAIN
    assert parsed.consolidation == Consolidation(
        policy=ConsolidationPolicy.NEVER, after=90.0, budget=0.25
    )
    assert parsed.trusted_code is True
    assert parsed.slo_classes["Interactive"] == LatencyObjective(target=0.05, percentile=99)
    assert parsed.converter.deadline == 5400.0
    assert parsed.converter.max_source_bytes == 500_000_000


EXAMPLES = sorted((REPOSITORY / "examples").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_accepted(path: Path) -> None:
    for document in yaml.safe_load_all(path.read_text()):
        parse = parse_model if document["kind"] == names.OPTIMIZED_MODEL else parse_pool
        assert isinstance(parse(document["spec"]), OptimizedModelSpec | ServingPoolSpec)


NAMED_TECHNIQUES: dict[str, tuple[documents.Document | None, Techniques]] = {
    "absent: all of them": (None, Techniques()),
    "empty: none": (
        {},
        Techniques(quantize=False, half_precision=False, openvino=False, prune=False),
    ),
    "one": ({"quantize": {}}, Techniques(half_precision=False, openvino=False, prune=False)),
    "openvino": (
        {"openvino": {}},
        Techniques(quantize=False, half_precision=False, openvino=True, prune=False),
    ),
    "prune with its default": (
        {"prune": {}},
        Techniques(quantize=False, half_precision=False, openvino=False, prune_sparsity=0.5),
    ),
    "prune": (
        {"prune": {"sparsity": "0.9"}},
        Techniques(quantize=False, half_precision=False, openvino=False, prune_sparsity=0.9),
    ),
}


@pytest.mark.parametrize("case", NAMED_TECHNIQUES)
def test_techniques(case: str) -> None:
    written, wanted = NAMED_TECHNIQUES[case]
    spec = {**documents.MINIMAL_MODEL, "optimization": {"techniques": written}}
    assert parse_model(spec).optimization.techniques == wanted


def _in_spec(case: BadManifest) -> bool:
    return isinstance(case.resource.get("spec"), dict) and "metadata.name" not in case.says


IN_SPEC = [case for case in corpus.manifests("api-server") if _in_spec(case)]


@pytest.mark.parametrize("case", IN_SPEC, ids=lambda case: case.name)
def test_refuses_what_the_api_server_refuses(case: BadManifest) -> None:
    parse = parse_model if case.resource["kind"] == names.OPTIMIZED_MODEL else parse_pool
    with pytest.raises(SpecError, match=r"^spec[^:]*: .+"):
        parse(case.resource["spec"])


@pytest.mark.parametrize("case", corpus.manifests("status"), ids=lambda case: case.name)
def test_accepts_what_only_the_status_can_refuse(case: BadManifest) -> None:
    assert parse_model(case.resource["spec"]).serving.pool


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(_JSON)
def test_nothing_but_a_spec_error_comes_out_of_any_json(spec: object) -> None:
    for parse in (parse_model, parse_pool):
        with pytest.raises(SpecError):
            parse(spec)


@given(documents.mutated(documents.MINIMAL_MODEL, documents.FULL_MODEL, documents.OWN_MODEL))
def test_models_are_parsed_or_refused_in_one_sentence(spec: documents.Document) -> None:
    try:
        parse_model(spec)
    except SpecError as error:
        _plain(str(error))


@given(documents.mutated(documents.MINIMAL_POOL, documents.FULL_POOL, *_ON_DEVICES))
def test_pools_are_parsed_or_refused_in_one_sentence(spec: documents.Document) -> None:
    try:
        parse_pool(spec)
    except SpecError as error:
        _plain(str(error))


def _plain(message: str) -> None:
    assert message.startswith("spec")
    assert len(message) < 400
