"""Publishing: manifest last, repeatable, harmless beside others; fetching checks every byte."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from tests.integration.storage.conftest import gcs_access, left_in, s3_access
from tests.support.s3 import S3

from tightship.storage import Access, Limits, Storage, StorageError, artifact_uri, write_manifest
from tightship.storage.backend import Payload
from tightship.storage.errors import (
    DIGEST_MISMATCH,
    INVALID_MANIFEST,
    SOURCE_NOT_FOUND,
    SOURCE_TOO_LARGE,
    UNSAFE_FILE,
)
from tightship.storage.s3 import S3Backend
from tightship.storage.uris import Uri


def artifact(folder: Path, content: str = "weights") -> tuple[Path, str]:
    (folder / "model/1").mkdir(parents=True)
    (folder / "model/config.pbtxt").write_text("max_batch_size: 8")
    (folder / "model/1/model.onnx").write_text(content)
    (folder / "report.json").write_text("{}")
    return folder, write_manifest(folder, {"key": "k", "variant": "original"})


@pytest.fixture(params=["s3", "gs", "pvc"])
async def store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[Storage, str]]:
    """A storage and the URI of a KEY's folder, in both kinds of store."""
    if request.param == "s3":
        s3: S3 = request.getfixturevalue("s3")
        bucket: str = request.getfixturevalue("bucket")
        access, uri = s3_access(s3), f"s3://{bucket}/sha256/KEY/"
    elif request.param == "gs":
        access = gcs_access(request.getfixturevalue("gcs_server"))
        uri = f"gs://models/{tmp_path.name}/sha256/KEY/"
    else:
        (tmp_path / "volume").mkdir()
        access, uri = Access(claims={"store": tmp_path / "volume"}), "pvc://store/sha256/KEY/"
    async with Storage(access) as storage:
        yield storage, uri


async def test_what_was_published_is_fetched_byte_for_byte(
    store: tuple[Storage, str], tmp_path: Path
) -> None:
    storage, uri = store
    folder, digest = artifact(tmp_path / "made")
    assert await storage.published(uri) is None
    done = await storage.publish(folder, uri)
    assert (done.digest, done.uri) == (digest, artifact_uri(uri, digest))
    assert await storage.published(uri) == done
    assert [file.path for file in done.files] == [
        "model/1/model.onnx",
        "model/config.pbtxt",
        "report.json",
    ]
    found = await storage.fetch(uri, tmp_path / "back", digest=digest)
    assert found.digest == digest
    for file in found.files:
        assert (tmp_path / "back" / file.path).read_bytes() == (folder / file.path).read_bytes()


async def test_publishing_twice_changes_nothing(store: tuple[Storage, str], tmp_path: Path) -> None:
    storage, uri = store
    folder, _ = artifact(tmp_path / "made")
    first = await storage.publish(folder, uri)
    before = await storage.list(uri)
    assert await storage.publish(folder, uri) == first
    assert await storage.list(uri) == before


async def test_publishers_of_one_key_with_different_bytes_do_no_harm(
    store: tuple[Storage, str], tmp_path: Path
) -> None:
    storage, uri = store
    made = [artifact(tmp_path / f"made{index}", f"weights{index}") for index in range(4)]
    await asyncio.gather(*(storage.publish(folder, uri) for folder, _ in made))
    for index, (_, digest) in enumerate(made):
        await storage.fetch(uri, tmp_path / f"back{index}", digest=digest)
        back = tmp_path / f"back{index}" / "model/1/model.onnx"
        assert back.read_text() == f"weights{index}"
    current = await storage.published(uri)
    assert current is not None
    assert current.digest in {digest for _, digest in made}


async def test_the_first_result_of_a_key_stays(store: tuple[Storage, str], tmp_path: Path) -> None:
    storage, uri = store
    _, first = artifact(tmp_path / "first", "1")
    await storage.publish(tmp_path / "first", uri)
    artifact(tmp_path / "second", "2")
    await storage.publish(tmp_path / "second", uri)
    current = await storage.published(uri)
    assert current is not None
    assert current.digest == first


async def test_an_interrupted_publish_shows_nothing_and_can_be_repeated(
    s3_storage: Storage, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, digest = artifact(tmp_path / "made")
    uri = f"s3://{bucket}/sha256/KEY/"
    order: list[str] = []
    interrupted_at = [0]
    honest = S3Backend.put

    async def interrupted(self: S3Backend, target: Uri, payload: Payload) -> None:
        order.append(str(target))
        if len(order) in interrupted_at:
            raise asyncio.CancelledError
        await honest(self, target, payload)

    monkeypatch.setattr(S3Backend, "put", interrupted)
    for step in (1, 2, 3, 4, 5):
        interrupted_at[:] = [step]
        order.clear()
        await s3_storage.delete_folder(uri)
        with pytest.raises(asyncio.CancelledError):
            await s3_storage.publish(folder, uri)
        assert await s3_storage.published(uri) is None
    interrupted_at.clear()
    order.clear()
    await s3_storage.publish(folder, uri)
    assert order[-1] == f"{uri}manifest.json"
    await s3_storage.fetch(uri, tmp_path / "back", digest=digest)


async def test_changed_bytes_in_the_store_are_noticed(
    s3_storage: Storage, s3: S3, bucket: str, tmp_path: Path
) -> None:
    folder, digest = artifact(tmp_path / "made")
    uri = f"s3://{bucket}/sha256/KEY/"
    await s3_storage.publish(folder, uri)
    stored = s3.bucket(bucket) / "sha256/KEY" / digest
    for name in ("model/1/model.onnx", "manifest.json"):
        honest = (stored / name).read_bytes()
        (stored / name).write_bytes(honest[:-1] + b"!")
        with pytest.raises(StorageError) as caught:
            await s3_storage.fetch(uri, tmp_path / "back", digest=digest)
        assert caught.value.reason == DIGEST_MISMATCH
        assert left_in(tmp_path / "back") == []
        (stored / name).write_bytes(honest)


async def test_a_missing_file_and_a_missing_artifact(
    s3_storage: Storage, s3: S3, bucket: str, tmp_path: Path
) -> None:
    folder, digest = artifact(tmp_path / "made")
    uri = f"s3://{bucket}/sha256/KEY/"
    await s3_storage.publish(folder, uri)
    (s3.bucket(bucket) / "sha256/KEY" / digest / "report.json").unlink()
    for wanted in (digest, "0" * 64):
        with pytest.raises(StorageError) as caught:
            await s3_storage.fetch(uri, tmp_path / "back", digest=wanted)
        assert caught.value.reason == SOURCE_NOT_FOUND


async def test_limits_hold_for_artifacts(store: tuple[Storage, str], tmp_path: Path) -> None:
    storage, uri = store
    folder, digest = artifact(tmp_path / "made")
    await storage.publish(folder, uri)
    with pytest.raises(StorageError) as caught:
        await storage.fetch(uri, tmp_path / "b", digest=digest, limits=Limits(max_bytes=10))
    assert caught.value.reason == SOURCE_TOO_LARGE


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        "not json",
        "[]",
        '{"schema": 2, "files": {}}',
        '{"schema": 1, "files": {}}',
        '{"schema": 1, "files": {"report.json": {"sha256": "00", "bytes": 2}}}',
        json.dumps({"schema": 1, "files": {"x": {"sha256": "0" * 64, "bytes": 2}}}),
    ],
)
async def test_a_manifest_that_does_not_fit_is_not_published(
    store: tuple[Storage, str], tmp_path: Path, manifest: str | None
) -> None:
    storage, uri = store
    folder, _ = artifact(tmp_path / "made")
    (folder / "manifest.json").unlink()
    if manifest is not None:
        (folder / "manifest.json").write_text(manifest)
    with pytest.raises(StorageError) as caught:
        await storage.publish(folder, uri)
    assert caught.value.reason == INVALID_MANIFEST
    assert await storage.list(uri) == ()


async def test_a_link_is_not_published(store: tuple[Storage, str], tmp_path: Path) -> None:
    storage, uri = store
    folder, _ = artifact(tmp_path / "made")
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(StorageError) as caught:
        await storage.publish(folder, uri)
    assert caught.value.reason == UNSAFE_FILE


async def test_clean_up_takes_the_whole_key(store: tuple[Storage, str], tmp_path: Path) -> None:
    storage, uri = store
    folder, _ = artifact(tmp_path / "made")
    await storage.publish(folder, uri)
    assert await storage.delete_folder(uri) == 5
    assert await storage.published(uri) is None
    assert await storage.list(uri) == ()
