"""Stages of Jobs against a real S3 server: hosts, keys, publishing, and a KEY asked for twice."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.corpus.models import build
from tests.integration.optimize.harness import Pod, address
from tests.support.s3 import S3
from tests.support.triton import Triton

from tightship.api.artifact import Summary
from tightship.optimize.folders import Folders

MODEL = bytes(build.perceptron().SerializeToString())
KEY = "b" * 64


def secret(folder: Path, s3: S3, *, key: str | None = None) -> None:
    folder.mkdir(parents=True)
    values = {
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": key or s3.secret_key,
        "AWS_DEFAULT_REGION": s3.region,
        "S3_ENDPOINT": s3.endpoint,
        "S3_USE_HTTPS": "0",
    }
    for name, value in values.items():
        (folder / name).write_text(value)


@pytest.fixture
def bucket(s3: S3, request: pytest.FixtureRequest) -> Path:
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:20]
    folder = s3.bucket(name)
    (folder / "model.onnx").write_bytes(MODEL)
    return folder


@pytest.fixture
def job(pod: Pod, s3: S3, bucket: Path) -> Pod:
    """A conversion whose source and store are in one bucket; the source's host is listed."""
    secret(pod.folders.secrets / "source", s3)
    pod.ask(
        source_uri=f"s3://{bucket.name}/model.onnx",
        store_uri=f"s3://{bucket.name}/artifacts",
        allowed_hosts=(s3.endpoint.removeprefix("http://"),),
    )
    return pod


def test_model_goes_from_the_store_to_the_store(
    job: Pod, s3: S3, bucket: Path, triton: Triton, new_pod: Callable[[str], Pod]
) -> None:
    for use in ("store", "store-write"):
        secret(job.folders.secrets / use, s3)
    job.folders = Folders(job.folders.root, triton.repository)
    job.ask(key=KEY)
    job.run("fetch")
    job.run("convert", address(triton))
    summary = Summary.from_json(job.run("publish")["result"])

    published = bucket / "artifacts" / "sha256" / KEY
    manifest = (published / "manifest.json").read_bytes()
    assert summary.digest == hashlib.sha256(manifest).hexdigest()
    stored = published / summary.digest
    assert (stored / "model" / "1" / "model.onnx").read_bytes() == MODEL
    assert json.loads(manifest)["variant"] == "original"

    again = new_pod("again")
    secret(again.folders.secrets / "store", s3)
    again.request = job.request
    assert again.run("fetch")["result"] == summary.to_json()


def test_source_on_a_host_that_is_not_listed_is_refused(job: Pod) -> None:
    job.ask(allowed_hosts=("models.example.com",))
    failure = job.refused("fetch")
    assert (failure.reason, failure.retryable) == ("HostNotAllowed", False)
    assert "list of allowed hosts" in failure.message


def test_wrong_keys_are_told_without_them(pod: Pod, s3: S3, bucket: Path) -> None:
    secret(pod.folders.secrets / "source", s3, key="canary-of-a-secret")
    pod.ask(
        source_uri=f"s3://{bucket.name}/model.onnx",
        allowed_hosts=(s3.endpoint.removeprefix("http://"),),
    )
    failure = pod.refused("fetch")
    assert failure.reason == "AccessDenied"
    assert "canary" not in failure.message


def test_missing_source_is_told(job: Pod, bucket: Path) -> None:
    job.ask(source_uri=f"s3://{bucket.name}/other.onnx")
    assert job.refused("fetch").reason == "SourceNotFound"


def test_source_above_the_pools_limit_is_refused(job: Pod) -> None:
    job.ask(max_source_bytes=100)
    assert job.refused("fetch").reason == "SourceTooLarge"


def test_conversion_without_a_key_is_refused(job: Pod) -> None:
    (job.folders.artifact / "model").mkdir(parents=True)
    assert job.refused("publish").reason == "InvalidRequest"
