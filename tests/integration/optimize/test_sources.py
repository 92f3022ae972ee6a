"""The intake of sources that are not one file of one server: what arrives is what is inspected."""

import gzip
import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.corpus.models import build
from tests.integration.optimize.harness import Pod
from tests.support import registry
from tests.support.registry import PASSWORD, TAR, USER, Registry

from tightship.api.artifact import IntakeResult

MODEL = bytes(build.perceptron().SerializeToString())


@pytest.fixture(scope="module")
def served() -> Iterator[Registry]:
    with registry.serving() as running:
        yield running


def log_in(pod: Pod, server: Registry) -> None:
    folder = pod.folders.secrets / "source"
    folder.mkdir(parents=True)
    auths = {server.host: {"username": USER, "password": PASSWORD}}
    (folder / ".dockerconfigjson").write_text(json.dumps({"auths": auths}))
    (folder / "ca.crt").write_text(server.ca_text)
    pod.ask(allowed_hosts=(server.host,))


def test_an_artifact_of_a_registry(pod: Pod, served: Registry, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(MODEL)
    digest = served.push("intake/m:v1", tmp_path, "model.onnx")
    log_in(pod, served)
    pod.ask(source_uri=f"oci://{served.host}/intake/m:v1")
    pod.run("fetch")
    result = IntakeResult.from_json(pod.run("inspect")["result"])
    assert (result.source_digest, result.source_bytes) == (digest, len(MODEL))


def test_an_image_of_a_registry(pod: Pod, served: Registry, tmp_path: Path) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        link = tarfile.TarInfo("bin/sh")
        link.type, link.linkname = tarfile.SYMTYPE, "busybox"
        archive.addfile(link)
        member = tarfile.TarInfo("models/model.onnx")
        member.size = len(MODEL)
        archive.addfile(member, io.BytesIO(MODEL))
    layer = (gzip.compress(out.getvalue(), mtime=0), {"mediaType": f"{TAR}+gzip"})
    digest = served.push_manifest("intake/image:v1", tmp_path, [layer])
    log_in(pod, served)
    pod.ask(source_uri=f"oci://{served.host}/intake/image:v1")
    pod.run("fetch")
    assert IntakeResult.from_json(pod.run("inspect")["result"]).source_digest == digest


def test_an_artifact_without_a_model(pod: Pod, served: Registry, tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("nothing else")
    served.push("intake/readme:v1", tmp_path, "README.md")
    log_in(pod, served)
    pod.ask(source_uri=f"oci://{served.host}/intake/readme:v1")
    pod.run("fetch")
    assert pod.refused("inspect").reason == "InvalidModel"
