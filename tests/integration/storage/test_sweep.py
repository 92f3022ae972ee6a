"""The clean-up on real stores: only what has been unused for long goes, whatever happens beside."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.integration.storage.conftest import gcs_access, s3_access
from tests.support.s3 import S3

from tightship.api import job as wire
from tightship.api.artifact import MANIFEST, UNUSED
from tightship.api.failures import Failure
from tightship.api.job import SweepRequest
from tightship.optimize import access
from tightship.optimize import sweep as sweep_stage
from tightship.optimize.folders import Folders
from tightship.optimize.sweep import sweep
from tightship.storage import (
    Access,
    Storage,
    is_retired,
    reclaim,
    remove,
    retire,
    write_manifest,
)
from tightship.storage.errors import ACCESS_DENIED, CLAIM_NOT_MOUNTED

HOUR = 3600.0
USED, IDLE, OTHER = "a" * 64, "b" * 64, "c" * 64


@dataclass
class Shop:
    """A store, artifacts in it, and runs of its clean-up at times of the test's own."""

    storage: Storage
    uri: str
    folder: Path

    def key(self, key: str) -> str:
        return f"{self.uri}/sha256/{key}/"

    async def publish(self, *keys: str) -> None:
        for key in keys:
            made = self.folder / key
            (made / "model").mkdir(parents=True)
            (made / "model/config.pbtxt").write_text(key)
            write_manifest(made, {"key": key})
            await self.storage.publish(made, self.key(key))

    async def sweep(
        self, *used: str, after: float = 0.0, limit: int = 10, retention: float = HOUR
    ) -> dict[str, int]:
        request = SweepRequest(
            store_uri=self.uri, allowed_hosts=(), retention=retention, limit=limit
        )
        return await sweep(self.storage, request, frozenset(used), time.time() + after)

    async def names(self) -> set[str]:
        return {entry.path for entry in await self.storage.list(f"{self.uri}/")}

    async def published(self) -> set[str]:
        found = await self.names()
        keys = (USED, IDLE, OTHER)
        return {key for key in keys if f"sha256/{key}/{MANIFEST}" in found}


@pytest.fixture(params=["s3", "gs", "pvc", "file"])
async def shop(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Shop]:
    (tmp_path / "volume").mkdir()
    access = Access(claims={"store": tmp_path / "volume"}, allow_file=True)
    uri = "pvc://store/deep/store"
    if request.param == "s3":
        s3: S3 = request.getfixturevalue("s3")
        bucket: str = request.getfixturevalue("bucket")
        access, uri = s3_access(s3), f"s3://{bucket}/deep/store"
    elif request.param == "gs":
        access = gcs_access(request.getfixturevalue("gcs_server"))
        uri = f"gs://models/{tmp_path.name}/deep/store"
    elif request.param == "file":
        uri = f"file://{tmp_path}/volume"
    async with Storage(access) as storage:
        yield Shop(storage, uri, tmp_path / "made")


async def test_every_listing_tells_when_a_file_was_written(shop: Shop) -> None:
    await shop.publish(USED)
    for entry in await shop.storage.list(f"{shop.uri}/"):
        assert entry.modified is not None
        assert abs(time.time() - entry.modified) < 60


async def test_what_is_unused_is_marked_then_removed_when_the_mark_is_old(shop: Shop) -> None:
    await shop.publish(USED, IDLE)
    assert await shop.sweep(USED, after=100 * HOUR) == {
        "artifacts": 2,
        "used": 1,
        "marked": 1,
        "removed": 0,
        "left": 0,
    }
    before = await shop.names()
    assert (await shop.sweep(USED, after=HOUR - 120))["removed"] == 0
    assert await shop.names() == before
    assert (await shop.sweep(USED, after=HOUR + 120))["removed"] == 1
    assert await shop.published() == {USED}
    assert not [name for name in await shop.names() if IDLE in name]
    assert (await shop.sweep(USED, after=HOUR + 120))["removed"] == 0


async def test_an_artifact_that_is_used_again_begins_anew(shop: Shop) -> None:
    await shop.publish(IDLE)
    await shop.sweep()
    await shop.sweep(IDLE, after=2 * HOUR)
    assert not await is_retired(shop.storage, shop.key(IDLE))
    assert await shop.sweep(after=2 * HOUR) == {
        "artifacts": 1,
        "used": 0,
        "marked": 1,
        "removed": 0,
        "left": 0,
    }
    assert await shop.published() == {IDLE}


async def test_what_is_being_published_is_young(shop: Shop) -> None:
    """Its mark is old, its files are not."""
    await retire(shop.storage, shop.key(IDLE))
    mark = (await shop.storage.list(shop.key(IDLE)))[0].modified
    await asyncio.sleep(1.1)  # S3 tells whole seconds
    await shop.publish(IDLE)
    assert mark is not None
    await shop.sweep(after=mark + HOUR + 0.5 - time.time())
    assert await shop.published() == {IDLE}


async def test_an_upload_that_broke_off_goes_too(shop: Shop) -> None:
    await shop.storage.put_bytes(b"half", f"{shop.key(IDLE)}digest/model/1/model.onnx")
    await shop.sweep()
    assert (await shop.sweep(after=2 * HOUR))["removed"] == 1
    assert await shop.names() == set()


async def test_what_is_no_artifact_is_left_alone(shop: Shop) -> None:
    names = {"sha256/notes.txt", f"sha256/{'B' * 64}/x", "sha256/short/x", f"other/{IDLE}/x"}
    for name in names:
        await shop.storage.put_bytes(b"x", f"{shop.uri}/{name}")
    await shop.sweep(after=0)
    assert (await shop.sweep(after=1000 * HOUR))["removed"] == 0
    assert await shop.names() == names


async def test_a_run_removes_a_limited_number_the_longest_unused_first(shop: Shop) -> None:
    await shop.publish(IDLE, OTHER)
    await shop.sweep(IDLE)
    await asyncio.sleep(1.1)
    await shop.sweep()
    found = await shop.sweep(after=2 * HOUR, limit=1)
    assert (found["removed"], found["left"]) == (1, 1)
    assert await shop.published() == {IDLE}
    assert (await shop.sweep(after=2 * HOUR, limit=1))["left"] == 0
    assert await shop.published() == set()


async def test_an_empty_store_is_fine(shop: Shop) -> None:
    assert (await shop.sweep())["artifacts"] == 0


async def test_what_is_taken_back_during_its_removal_stays(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.publish(IDLE)
    await retire(shop.storage, shop.key(IDLE))
    before = await shop.storage.published(shop.key(IDLE))
    delete = shop.storage.delete

    async def taken_back(uri: str) -> None:
        await reclaim(shop.storage, shop.key(IDLE)) if uri.endswith(MANIFEST) else None
        await delete(uri)

    monkeypatch.setattr(shop.storage, "delete", taken_back)
    assert not await remove(shop.storage, shop.key(IDLE))
    assert await shop.storage.published(shop.key(IDLE)) == before


async def test_a_removal_that_broke_off_is_finished_later(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    await shop.publish(IDLE)
    await retire(shop.storage, shop.key(IDLE))

    async def broken(_: str) -> int:
        raise ConnectionResetError

    with monkeypatch.context() as broke:
        broke.setattr(shop.storage, "delete_folder", broken)
        with pytest.raises(ConnectionResetError):
            await remove(shop.storage, shop.key(IDLE))
    assert await shop.storage.published(shop.key(IDLE)) is None
    assert (await shop.sweep(after=2 * HOUR))["removed"] == 1
    assert await shop.names() == set()


Run = Callable[[str | None], tuple[int, dict[str, dict[str, object]]]]


@pytest.fixture
def container(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """The container of a clean-up of `volume`; its list of KEYs is given, None for no list."""
    monkeypatch.setenv(access.ALLOW_FILE_VARIABLE, "1")
    request = SweepRequest(
        store_uri=f"file://{tmp_path}/volume", allowed_hosts=(), retention=HOUR, limit=10
    )
    monkeypatch.setenv(wire.REQUEST_VARIABLE, request.to_json())
    folders = Folders(tmp_path / "root")

    def run(keys: str | None) -> tuple[int, dict[str, dict[str, object]]]:
        folders.keys.parent.mkdir(parents=True, exist_ok=True)
        folders.keys.unlink(missing_ok=True)
        if keys is not None:
            folders.keys.write_text(keys)
        code = sweep_stage.main(folders)
        return code, json.loads(folders.termination_log.read_text())

    return run


@pytest.mark.parametrize("keys", ["", f"{USED}\n", f"{USED}\n{OTHER}\n"])
def test_the_container_reads_its_list(container: Run, tmp_path: Path, keys: str) -> None:
    folder = tmp_path / "volume/sha256" / USED
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{}")
    code, answer = container(keys)
    assert code == 0
    assert answer["result"]["used"] == (1 if keys else 0)
    assert (folder / UNUSED).exists() == (not keys)


@pytest.mark.parametrize(
    ("keys", "named"),
    [(None, "is not mounted"), ("abc\n", "cannot be read"), (f"{USED}\n{'a' * 63}", "cannot be")],
)
def test_without_a_sound_list_nothing_is_touched(
    container: Run, tmp_path: Path, keys: str | None, named: str
) -> None:
    folder = tmp_path / "volume/sha256" / IDLE
    folder.mkdir(parents=True)
    (folder / MANIFEST).write_text("{}")
    code, answer = container(keys)
    assert code == 1
    assert named in str(answer["failure"]["message"])
    assert [path.name for path in folder.iterdir()] == [MANIFEST]


def test_a_store_that_refuses_is_told_in_plain_words(
    s3: S3, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = Folders(tmp_path)
    secret = folders.secrets / "store-write"
    secret.mkdir(parents=True)
    for name, value in {
        "AWS_ACCESS_KEY_ID": s3.access_key,
        "AWS_SECRET_ACCESS_KEY": "wrong",
        "S3_ENDPOINT": s3.endpoint,
        "S3_REGION": s3.region,
    }.items():
        (secret / name).write_text(value)
    folders.keys.parent.mkdir(parents=True)
    folders.keys.write_text("")
    request = SweepRequest(store_uri=f"s3://{bucket}/x", allowed_hosts=(), retention=HOUR, limit=10)
    for wanted, reason in (
        (request, ACCESS_DENIED),
        (replace(request, store_uri="pvc://absent/x"), CLAIM_NOT_MOUNTED),
    ):
        monkeypatch.setenv(wire.REQUEST_VARIABLE, wanted.to_json())
        assert sweep_stage.main(folders) == 1
        raw = json.loads(folders.termination_log.read_text())["failure"]
        failure = Failure.from_json(raw)
        assert failure.reason == reason
        assert "Traceback" not in failure.message
