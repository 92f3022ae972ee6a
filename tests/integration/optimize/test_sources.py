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
from tests.support import gcs, hub, registry
from tests.support.registry import PASSWORD, TAR, USER, Registry

from tightship.api.artifact import IntakeResult
from tightship.optimize import access
from tightship.storage import Access, Credentials, HostPolicy, Storage, run

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


LAYOUT = {
    "config.json": b"{}",
    "onnx/model.onnx": MODEL,
    "onnx/model_quantized.onnx": b"another variant",
    "pytorch_model.bin": b"\x80\x04 a pickle that nothing opens",
}


def test_a_repository_of_the_hub(pod: Pod) -> None:
    with hub.serving() as server:
        server.commit("org/model", LAYOUT)
        folder = pod.folders.secrets / "source"
        folder.mkdir(parents=True)
        (folder / "HF_ENDPOINT").write_text(f"https://{server.host}")
        (folder / "ca.crt").write_text(server.ca)
        pod.ask(source_uri="hf://org/model", allowed_hosts=(server.host,))
        result = IntakeResult.from_json(pod.run("fetch")["result"])
    assert result.source_bytes == len(MODEL) + 2
    assert (
        IntakeResult.from_json(pod.run("inspect")["result"]).source_digest == result.source_digest
    )


@pytest.mark.parametrize("model", ["onnx/model.onnx", "model.onnx"])
def test_the_layout_of_the_hub_in_a_folder(pod: Pod, tmp_path: Path, model: str) -> None:
    folder = tmp_path / "downloaded"
    files = {"config.json": b"{}", model: MODEL, "onnx/model_int8.onnx": b"other", "a.pt": b"x"}
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    pod.ask(source_uri=f"file://{folder}/")
    pod.run("fetch")
    pod.run("inspect")
    (folder / "config.json").unlink()
    pod.run("fetch")
    refusal = pod.refused("inspect")
    assert refusal.reason == "UnsupportedModel"
    assert "config.json with onnx/model.onnx" in refusal.message


def test_source_and_store_in_google_cloud_storage(pod: Pod) -> None:
    async def upload(access: Access) -> None:
        async with Storage(access) as storage:
            await storage.put_bytes(MODEL, "gs://models/in/model.onnx")

    with gcs.serving("models") as server:
        secret = {"STORAGE_EMULATOR_HOST": server.endpoint, "ca.crt": server.ca}
        credentials = Credentials.from_mapping(secret)
        run(upload(Access(hosts=HostPolicy.of(server.host), credentials=credentials)))
        for use in ("source", "store"):
            folder = pod.folders.secrets / use
            folder.mkdir(parents=True)
            for key, value in secret.items():
                (folder / key).write_text(value)
        # Nothing is listed: the host is the store's own, which its Secret names.
        pod.ask(source_uri="gs://models/in/model.onnx", store_uri="gs://models/store")
        assert access.access(pod.folders, pod.request, "source").hosts.allowed == (server.host,)
        result = IntakeResult.from_json(pod.run("fetch")["result"])
    assert result.source_bytes == len(MODEL)
    inspected = IntakeResult.from_json(pod.run("inspect")["result"])
    assert inspected.source_digest == result.source_digest
