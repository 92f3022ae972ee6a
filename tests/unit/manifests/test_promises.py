"""What every pod keeps, whatever the pool says: credentials, limits, isolation, names."""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import given
from tests.support import actions, documents

from tightship.api import job, names
from tightship.api.fields import SpecError
from tightship.api.parse import parse_model, parse_pool
from tightship.api.v1alpha1 import OptimizedModelSpec, ServingPoolSpec
from tightship.manifests import security
from tightship.manifests.job import convert_job, evaluate_job, intake_job
from tightship.manifests.server import server_objects
from tightship.manifests.sweep import sweep_objects
from tightship.plan.actions import (
    ApplyConvertJob,
    ApplyIntakeJob,
    ApplyServers,
    ApplySweep,
)

_Object = dict[str, Any]
_CONVERTING = ("fetch", "inspect", "convert", "publish")
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def _pods(model: OptimizedModelSpec, pool: ServingPoolSpec) -> dict[str, _Object]:
    intake = ApplyIntakeJob(
        inputs="1a" * 32,
        owners=actions.MODELS,
        pool="shared",
        pool_spec=pool,
        model_spec=model,
        reason="",
    )
    convert = ApplyConvertJob(
        key="2b" * 32,
        owners=actions.MODELS,
        pool="shared",
        pool_spec=pool,
        model_spec=model,
        source_digest="3c" * 32,
        calibration_digest=None,
        evaluation_digest=None,
        reason="",
    )
    servers = ApplyServers(
        pool="shared", owner=actions.POOL, spec=pool, replicas=1, revision="r", reason=""
    )
    rendered = {
        "intake": intake_job(intake, "search"),
        "convert": convert_job(convert, "search"),
        "server": server_objects(servers, "search")[-1],
    }
    if model.evaluation is not None:
        evaluate = replace(actions.evaluate(full=True), model_spec=model, pool_spec=pool)
        rendered["evaluate"] = evaluate_job(evaluate, "search")
    if pool.store.retention is not None:
        sweep = ApplySweep(pool="shared", owner=actions.POOL, spec=pool, keys=(), reason="")
        rendered["sweep"] = sweep_objects(sweep, "search")[-1]["spec"]["jobTemplate"]
    return {name: value["spec"]["template"]["spec"] for name, value in rendered.items()}


def _containers(pod: _Object) -> dict[str, _Object]:
    return {each["name"]: each for each in (*pod.get("initContainers", ()), *pod["containers"])}


def _mounts(container: _Object) -> set[str]:
    return {mount["mountPath"] for mount in container["volumeMounts"]}


def _secret_mounts(pod: _Object) -> dict[str, set[str]]:
    root = f"{job.SECRETS}/"
    return {
        name: {path.removeprefix(root) for path in _mounts(each) if path.startswith(root)}
        for name, each in _containers(pod).items()
    }


def _requests(container: _Object) -> Iterator[job.JobRequest]:
    for variable in container.get("env", ()):
        if variable["name"] == job.REQUEST_VARIABLE and container["name"] in _CONVERTING:
            yield job.JobRequest.from_json(variable["value"])


def test_each_container_has_the_credentials_that_it_needs_and_no_other() -> None:
    pods = _pods(*actions.FULL)
    data = {"source", "calibration", "evaluation", "trainer"}
    assert _secret_mounts(pods["intake"]) == {"fetch": data | {"store"}, "inspect": set()}
    assert _secret_mounts(pods["convert"]) == {
        "fetch": data | {"store"},
        "triton": set(),
        "convert": set(),
        "publish": {"store-write"},
    }
    assert _secret_mounts(pods["evaluate"]) == {
        "fetch-evaluation": {"evaluation", "store"},
        "evaluate": set(),
    }
    assert _secret_mounts(pods["sweep"]) == {"sweep": {"store-write"}}
    assert _secret_mounts(pods["server"]) == {"agent": {"store", "agent"}, "triton": set()}


def test_only_fetch_has_the_credentials_of_a_metric() -> None:
    pods = _pods(*actions.OWN)
    data = {"metric", "store"}
    assert _secret_mounts(pods["intake"]) == {"fetch": data, "inspect": set()}
    assert _secret_mounts(pods["convert"])["fetch"] == data
    assert _secret_mounts(pods["convert"])["convert"] == set()


def test_only_publish_and_the_clean_up_may_write_to_a_claim() -> None:
    writers = {
        (pod, name)
        for pod, spec in _pods(*actions.FULL).items()
        for name, container in _containers(spec).items()
        for mount in container["volumeMounts"]
        if mount["mountPath"].startswith(job.PVC_ROOT) and not mount.get("readOnly")
    }
    assert writers == {("convert", "publish"), ("sweep", "sweep")}


def test_what_one_user_publishes_the_same_may_remove() -> None:
    pods = _pods(*actions.FULL)
    publish, sweep = _containers(pods["convert"])["publish"], _containers(pods["sweep"])["sweep"]
    assert publish["securityContext"] == sweep["securityContext"]
    assert pods["convert"]["securityContext"] == pods["sweep"]["securityContext"]


def test_the_clean_up_does_not_start_without_its_list() -> None:
    (keys,) = (v for v in _pods(*actions.FULL)["sweep"]["volumes"] if v["name"] == "keys")
    assert "optional" not in keys["configMap"]


def test_publish_is_closed_to_the_processes_that_read_hostile_files() -> None:
    containers = _containers(_pods(*actions.FULL)["convert"])
    users = {n: c["securityContext"].get("runAsUser", security.USER) for n, c in containers.items()}
    assert users.pop("publish") not in users.values()


def test_a_store_without_a_write_secret_is_written_with_the_other() -> None:
    spec = {**documents.MINIMAL_POOL, "store": {"uri": "s3://ab", "secretRef": {"name": "one"}}}
    pod = _pods(actions.MINIMAL[0], parse_pool(spec))["convert"]
    secrets = {v["name"]: v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
    assert secrets == {"secret-store": "one", "secret-store-write": "one"}


def test_a_trainer_is_confined_and_trains_with_what_the_container_has() -> None:
    pods = _pods(*actions.FULL)
    for pod, stage in (("intake", "inspect"), ("convert", "convert")):
        (request,) = _requests(_containers(pods[pod])[stage])
        assert request.trainer is not None
        assert request.trainer.confined
        assert request.trainer.options.threads == 2  # of 2.5 processors


def test_a_metric_of_ones_own_is_confined() -> None:
    pods = _pods(*actions.OWN)
    for pod, stage in (("intake", "inspect"), ("convert", "convert")):
        (request,) = _requests(_containers(pods[pod])[stage])
        assert request.metric is None
        assert request.own_metric is not None
        assert request.own_metric.confined
        assert request.own_metric.trusted


def test_triton_beside_a_converter_is_out_of_reach() -> None:
    triton = _containers(_pods(*actions.FULL)["convert"])["triton"]
    for kind in ("http", "grpc", "metrics"):
        assert f"--{kind}-address=127.0.0.1" in triton["args"]


def test_the_converter_measures_what_is_served() -> None:
    pods = _pods(*actions.FULL)
    beside, served = (_containers(pods[name])["triton"] for name in ("convert", "server"))
    assert beside["resources"] == served["resources"]
    assert beside["image"] == served["image"]
    for name in ("nodeSelector", "tolerations"):
        assert pods["convert"][name] == pods["server"][name]


def test_an_evaluation_asks_for_the_gate_that_let_the_variant_pass() -> None:
    (container,) = _pods(*actions.FULL)["evaluate"]["containers"]
    (text,) = (v["value"] for v in container["env"] if v["name"] == job.REQUEST_VARIABLE)
    request, model = job.EvaluateRequest.from_json(text), actions.FULL[0]
    gate = model.optimization.gate
    assert (request.max_drop, request.worst_value) == (gate.max_drop, gate.worst_value)
    assert (request.confidence, request.metric) == (gate.confidence, "f1")
    assert model.evaluation is not None
    assert request.data.uri == model.evaluation.storage_uri
    assert request.data.digest is None, "as they are by then"


def test_an_unready_agent_may_take_longer_than_its_restart() -> None:
    probe = _containers(_pods(*actions.MINIMAL)["server"])["agent"]["readinessProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 10


def test_a_leaving_server_has_time_to_drain_and_to_end() -> None:
    pod = _pods(*actions.FULL)["server"]
    sleeps = {c["lifecycle"]["preStop"]["sleep"]["seconds"] for c in _containers(pod).values()}
    assert sleeps == {30}
    assert pod["terminationGracePeriodSeconds"] > 30 + security.TRITON_EXIT_SECONDS


@given(
    documents.mutated(documents.MINIMAL_MODEL, documents.FULL_MODEL, documents.OWN_MODEL),
    documents.mutated(documents.MINIMAL_POOL, documents.FULL_POOL),
)
def test_whatever_is_accepted_is_rendered_within_the_rules(
    model: documents.Document, pool: documents.Document
) -> None:
    try:
        specs = parse_model(model), parse_pool(pool)
    except SpecError:
        return
    for pod in _pods(*specs).values():
        _check_pod(pod)


def _check_pod(pod: _Object) -> None:
    volumes = {volume["name"] for volume in pod["volumes"]}
    assert len(volumes) == len(pod["volumes"])
    assert all(_LABEL.fullmatch(name) for name in volumes)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    used = set()
    for container in _containers(pod).values():
        assert container["securityContext"]["readOnlyRootFilesystem"] is True
        assert {"memory", "ephemeral-storage"} <= container["resources"]["limits"].keys()
        used |= {mount["name"] for mount in container["volumeMounts"]}
        assert len(_mounts(container)) == len(container["volumeMounts"])
        for request in _requests(container):
            assert request.threads >= 1
    assert used == volumes


def test_the_longest_pool_name_gives_a_valid_clean_up() -> None:
    name = names.sweep_name("p" * names.MODEL_NAME_MAX)
    assert len(name) <= 52  # a CronJob's; its Jobs' names are longer by eleven


def test_labels_are_within_the_bounds_of_kubernetes() -> None:
    rendered = convert_job(actions.convert(full=True), actions.NAMESPACE)
    labels = rendered["metadata"]["labels"]
    assert all(len(value) <= 63 for value in labels.values())
    assert rendered["metadata"]["annotations"][names.INPUTS_LABEL] == "2b" * 32


def test_triton_beside_a_converter_sees_nothing_but_its_repository() -> None:
    containers = _containers(_pods(*actions.FULL)["convert"])
    (work,) = (m for m in containers["triton"]["volumeMounts"] if m["name"] == "work")
    place = {"mountPath": job.MODEL_REPOSITORY, "subPath": "models", "readOnly": True}
    assert work == {"name": "work", **place}
    assert f"{job.WORK}/models" == job.MODEL_REPOSITORY
