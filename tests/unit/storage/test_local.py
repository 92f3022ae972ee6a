"""Mounted claims: plain files are read and written, links lead nowhere."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tightship.storage import Access, Kind, Limits, Stat, Storage, StorageError
from tightship.storage.errors import (
    CLAIM_NOT_MOUNTED,
    DIGEST_MISMATCH,
    NO_SPACE_LEFT,
    SOURCE_NOT_FOUND,
    SOURCE_TOO_LARGE,
    TOO_MANY_FILES,
    UNSAFE_FILE,
    UNSUPPORTED_SCHEME,
    WRITE_FAILED,
)


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    (tmp_path / "volume/model/1").mkdir(parents=True)
    (tmp_path / "volume/model/config.pbtxt").write_text("c")
    (tmp_path / "volume/model/1/model.onnx").write_text("weights")
    (tmp_path / "secret").write_text("secret")
    return tmp_path / "volume"


@pytest.fixture
async def storage(volume: Path) -> AsyncIterator[Storage]:
    async with Storage(Access(claims={"claim": volume})) as opened:
        yield opened


async def test_files_and_folders_are_told_apart(storage: Storage) -> None:
    assert await storage.stat("pvc://claim/model/config.pbtxt") == Stat(kind=Kind.FILE, bytes=1)
    for uri in ("pvc://claim/model", "pvc://claim/model/", "pvc://claim"):
        assert await storage.stat(uri) == Stat(kind=Kind.FOLDER, bytes=None)


@pytest.mark.parametrize(
    "path", ["absent", "model/absent/x", "model/config.pbtxt/", "model/1/model.onnx/x"]
)
async def test_nothing_found_is_an_error(storage: Storage, tmp_path: Path, path: str) -> None:
    with pytest.raises(StorageError) as caught:
        await storage.download(f"pvc://claim/{path}", tmp_path / "out")
    assert caught.value.reason == SOURCE_NOT_FOUND
    assert not await storage.exists(f"pvc://claim/{path}")


async def test_an_empty_folder_is_nothing(storage: Storage, volume: Path) -> None:
    (volume / "empty/sub").mkdir(parents=True)
    assert not await storage.exists("pvc://claim/empty/")


async def test_the_whole_volume_without_its_lost_and_found(
    storage: Storage, volume: Path, tmp_path: Path
) -> None:
    (volume / "lost+found").mkdir()
    (volume / "lost+found/x").write_text("x")
    found = await storage.download("pvc://claim/", tmp_path / "out")
    assert [file.path for file in found.files] == ["model/1/model.onnx", "model/config.pbtxt"]


@pytest.mark.parametrize(
    ("link", "target", "uri"),
    [
        ("evil", "../secret", "pvc://claim/evil"),
        ("evil", "/etc", "pvc://claim/evil/passwd"),
        ("evil", "..", "pvc://claim/evil/"),
        ("evil", "..", "pvc://claim/evil/secret"),
        ("model/1/evil", "../../../secret", "pvc://claim/model/"),
        ("model/evil", "/etc", "pvc://claim/model/"),
        ("model/evil", "config.pbtxt", "pvc://claim/model/"),
        ("evil", "nowhere", "pvc://claim/evil"),
    ],
)
async def test_links_are_never_followed(
    storage: Storage, volume: Path, tmp_path: Path, link: str, target: str, uri: str
) -> None:
    (volume / link).symlink_to(target)
    with pytest.raises(StorageError) as caught:
        await storage.download(uri, tmp_path / "out")
    assert caught.value.reason == UNSAFE_FILE
    assert not (tmp_path / "out").exists()


async def test_hard_links_and_pipes_are_refused(
    storage: Storage, volume: Path, tmp_path: Path
) -> None:
    (volume / "hard").hardlink_to(tmp_path / "secret")
    os.mkfifo(volume / "pipe")
    for name in ("hard", "pipe"):
        for uri in (f"pvc://claim/{name}", "pvc://claim/"):
            with pytest.raises(StorageError) as caught:
                await storage.download(uri, tmp_path / "out")
            assert caught.value.reason == UNSAFE_FILE


async def test_a_link_is_not_written_through(
    storage: Storage, volume: Path, tmp_path: Path
) -> None:
    (volume / "evil").symlink_to("..")
    with pytest.raises(StorageError) as caught:
        await storage.put_bytes(b"x", "pvc://claim/evil/new")
    assert caught.value.reason == UNSAFE_FILE
    (volume / "file").symlink_to(tmp_path / "secret")
    await storage.put_bytes(b"x", "pvc://claim/file")
    assert (tmp_path / "secret").read_text() == "secret"


async def test_a_link_is_not_deleted_through(storage: Storage, volume: Path) -> None:
    (volume / "evil").symlink_to("..")
    with pytest.raises(StorageError) as caught:
        await storage.delete_folder("pvc://claim/evil/")
    assert caught.value.reason == UNSAFE_FILE
    assert (volume.parent / "secret").exists()


async def test_writing_makes_folders_and_leaves_no_parts(storage: Storage, volume: Path) -> None:
    await storage.put_bytes(b"1", "pvc://claim/new/deep/file")
    await storage.put_bytes(b"2", "pvc://claim/new/deep/file")
    assert (volume / "new/deep/file").read_bytes() == b"2"
    assert len(await storage.list("pvc://claim/new/")) == 1


async def test_deleting_leaves_no_empty_folders(storage: Storage, volume: Path) -> None:
    assert await storage.delete_folder("pvc://claim/model/") == 2
    assert not (volume / "model").exists()
    assert await storage.delete_folder("pvc://claim/model/") == 0


async def test_a_folder_in_the_file_s_place(storage: Storage) -> None:
    with pytest.raises(StorageError) as caught:
        await storage.put_bytes(b"x", "pvc://claim/model")
    assert caught.value.reason == WRITE_FAILED


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(max_bytes=7), SOURCE_TOO_LARGE),
        (Limits(max_files=1), TOO_MANY_FILES),
        (Limits(room=7), NO_SPACE_LEFT),
    ],
)
async def test_limits(storage: Storage, tmp_path: Path, limits: Limits, reason: str) -> None:
    with pytest.raises(StorageError) as caught:
        await storage.download("pvc://claim/model", tmp_path / "out", limits=limits)
    assert caught.value.reason == reason


async def test_a_wrong_digest_of_a_folder_leaves_nothing(storage: Storage, tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        await storage.download("pvc://claim/model", tmp_path / "out", digest="0" * 64)
    assert caught.value.reason == DIGEST_MISMATCH
    assert not (tmp_path / "out/config.pbtxt").exists()
    assert not (tmp_path / "out/1/model.onnx").exists()


async def test_a_claim_that_is_not_mounted(storage: Storage) -> None:
    with pytest.raises(StorageError) as caught:
        await storage.stat("pvc://other/x")
    assert caught.value.reason == CLAIM_NOT_MOUNTED
    assert "other" in caught.value.message


async def test_file_is_off_unless_it_is_allowed(volume: Path, tmp_path: Path) -> None:
    async with Storage(Access()) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.stat(f"file://{volume}/model")
    assert caught.value.reason == UNSUPPORTED_SCHEME
    async with Storage(Access(allow_file=True)) as storage:
        found = await storage.download(f"file://{volume}/model/config.pbtxt", tmp_path / "out")
    assert found.bytes == 1
