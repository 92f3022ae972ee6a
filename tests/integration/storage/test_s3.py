"""S3 against a real server: reading, writing, limits, keys, and a store that is cut off."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from tests.integration.storage.conftest import Https, left_in, s3_access
from tests.support.s3 import S3

from tightship.storage import (
    Access,
    Credentials,
    Entry,
    HostPolicy,
    Kind,
    Limits,
    S3Settings,
    Stat,
    Storage,
    StorageError,
    file_digest,
    folder_digest,
    multipart,
)
from tightship.storage.errors import (
    ACCESS_DENIED,
    HOST_NOT_ALLOWED,
    INVALID_CREDENTIALS,
    INVALID_RESPONSE,
    INVALID_URI,
    REDIRECT_REFUSED,
    SOURCE_NOT_FOUND,
    SOURCE_TOO_LARGE,
    SOURCE_UNREACHABLE,
    TOO_MANY_FILES,
    UNSAFE_FILE,
)

NAMES = ("config.pbtxt", "1/model.onnx", "1/a b+%20\u00e4=~.bin", "empty")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for index, name in enumerate(NAMES):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(b"" if name == "empty" else os.urandom(5000 + index))
    return tmp_path / "tree"


async def test_a_folder_goes_there_and_back(
    s3_storage: Storage, bucket: str, tree: Path, tmp_path: Path
) -> None:
    put = await s3_storage.put_folder(tree, f"s3://{bucket}/models/x/")
    assert put == tuple(sorted(file_digest(tree / name, name) for name in NAMES))
    for uri in (f"s3://{bucket}/models/x/", f"s3://{bucket}/models/x"):
        assert await s3_storage.stat(uri) == Stat(kind=Kind.FOLDER, bytes=None)
        found = await s3_storage.download(uri, tmp_path / "back")
        assert found.files == put
        assert found.digest == folder_digest(put)
    for name in NAMES:
        assert (tmp_path / "back" / name).read_bytes() == (tree / name).read_bytes()


async def test_the_same_folder_has_the_same_digest_from_every_scheme(
    s3_storage: Storage, bucket: str, tree: Path, tmp_path: Path
) -> None:
    await s3_storage.put_folder(tree, f"s3://{bucket}/x/")
    from_s3 = await s3_storage.download(f"s3://{bucket}/x/", tmp_path / "s3")
    from_file = await s3_storage.download(f"file://{tree}", tmp_path / "file")
    async with Storage(Access(claims={"claim": tree.parent})) as mounted:
        from_pvc = await mounted.download("pvc://claim/tree", tmp_path / "pvc")
    assert from_s3.digest == from_file.digest == from_pvc.digest


async def test_one_file(s3_storage: Storage, bucket: str, tmp_path: Path) -> None:
    uri = f"s3://{bucket}/deep/er/m.onnx"
    put = await s3_storage.put_bytes(b"content", uri)
    assert await s3_storage.stat(uri) == Stat(kind=Kind.FILE, bytes=7)
    assert await s3_storage.exists(uri)
    assert await s3_storage.read(uri) == b"content"
    found = await s3_storage.download(uri, tmp_path, digest=put.sha256)
    assert found.files == (put,)
    assert (tmp_path / "m.onnx").read_bytes() == b"content"


async def test_an_object_wins_over_a_prefix_of_the_same_name(
    s3_storage: Storage, bucket: str, tmp_path: Path
) -> None:
    await s3_storage.put_bytes(b"1", f"s3://{bucket}/model")
    await s3_storage.put_bytes(b"2", f"s3://{bucket}/model-2/x")
    assert (await s3_storage.download(f"s3://{bucket}/model", tmp_path)).kind is Kind.FILE
    with pytest.raises(StorageError):
        await s3_storage.download(f"s3://{bucket}/mod", tmp_path)


@pytest.mark.parametrize("path", ["absent", "absent/", "absent/deep/er"])
async def test_nothing_found_is_an_error(
    s3_storage: Storage, bucket: str, tmp_path: Path, path: str
) -> None:
    assert not await s3_storage.exists(f"s3://{bucket}/{path}")
    assert await s3_storage.list(f"s3://{bucket}/{path}") == ()
    with pytest.raises(StorageError) as caught:
        await s3_storage.download(f"s3://{bucket}/{path}", tmp_path)
    assert caught.value.reason == SOURCE_NOT_FOUND


async def test_a_bucket_that_does_not_exist(s3_storage: Storage, tmp_path: Path) -> None:
    for uri in ("s3://no-such-bucket/x", "s3://no-such-bucket/x/"):
        with pytest.raises(StorageError) as caught:
            await s3_storage.download(uri, tmp_path)
        assert caught.value.reason == SOURCE_NOT_FOUND


async def test_long_listings_come_in_pages(s3_storage: Storage, s3: S3, bucket: str) -> None:
    for index in range(2100):
        (s3.bucket(bucket) / f"f{index:04}").write_bytes(b"x")
    entries = await s3_storage.list(f"s3://{bucket}/")
    assert entries == tuple(Entry(f"f{index:04}", 1) for index in range(2100))
    with pytest.raises(StorageError) as caught:
        await s3_storage.list(f"s3://{bucket}/", max_files=1500)
    assert caught.value.reason == TOO_MANY_FILES


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(max_bytes=9999), SOURCE_TOO_LARGE),
        (Limits(max_files=3), TOO_MANY_FILES),
    ],
)
async def test_limits_hold_for_the_whole_folder(
    s3_storage: Storage, bucket: str, tree: Path, tmp_path: Path, limits: Limits, reason: str
) -> None:
    await s3_storage.put_folder(tree, f"s3://{bucket}/x/")
    with pytest.raises(StorageError) as caught:
        await s3_storage.download(f"s3://{bucket}/x/", tmp_path / "back", limits=limits)
    assert caught.value.reason == reason
    assert not (tmp_path / "back").exists()


async def test_wrong_keys_are_denied(s3: S3, bucket: str, tmp_path: Path) -> None:
    for changes in ({"secret_access_key": "canary"}, {"access_key_id": "canary"}):
        async with Storage(s3_access(s3, **changes)) as storage:
            for uri in (f"s3://{bucket}/x", f"s3://{bucket}/x/"):
                with pytest.raises(StorageError) as caught:
                    await storage.download(uri, tmp_path)
                assert caught.value.reason == ACCESS_DENIED
                assert "canary" not in str(caught.value)


async def test_without_keys_requests_are_anonymous(s3: S3, bucket: str, tmp_path: Path) -> None:
    access = s3_access(s3)
    anonymous = replace(access, credentials=Credentials(s3=access.credentials.s3))
    async with Storage(anonymous) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.download(f"s3://{bucket}/x", tmp_path)
    assert caught.value.reason == ACCESS_DENIED


async def test_the_endpoint_must_be_on_the_list(s3: S3, tmp_path: Path) -> None:
    access = replace(s3_access(s3), hosts=HostPolicy.of("s3.example.com"))
    async with Storage(access) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.download("s3://bucket/x", tmp_path)
    assert caught.value.reason == HOST_NOT_ALLOWED
    assert "127.0.0.1" in caught.value.message


async def test_without_an_endpoint_aws_must_be_on_the_list(tmp_path: Path) -> None:
    async with Storage(Access()) as storage:
        with pytest.raises(StorageError, match=r"bucket\.s3\.us-east-1\.amazonaws\.com"):
            await storage.download("s3://bucket/x", tmp_path)


@pytest.mark.parametrize(
    "endpoint", ["http://h/path", "ftp://h", "http://user:pw@h", "http://", ":"]
)
async def test_an_endpoint_that_is_none(endpoint: str) -> None:
    credentials = Credentials(s3=S3Settings(endpoint=endpoint))
    async with Storage(Access(credentials=credentials)) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.stat("s3://bucket/x")
    assert caught.value.reason == INVALID_CREDENTIALS
    assert "pw" not in caught.value.message


def _s3_on_https(https: Https) -> Access:
    settings = S3Settings(endpoint=f"localhost:{https.port}")
    credentials = Credentials(access_key_id="a", secret_access_key="b", ca=https.ca, s3=settings)
    return Access(hosts=HostPolicy.of("localhost"), credentials=credentials)


async def test_an_endpoint_that_redirects_is_refused(https: Https, tmp_path: Path) -> None:
    https.handlers["/bucket/x"] = lambda _: web.Response(
        status=307, headers={"Location": "http://169.254.169.254/"}
    )
    async with Storage(_s3_on_https(https)) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.download("s3://bucket/x", tmp_path)
    assert caught.value.reason == REDIRECT_REFUSED
    assert "169.254.169.254" in caught.value.message


async def test_an_endpoint_that_is_no_store(https: Https) -> None:
    https.handlers["/bucket/"] = lambda _: web.Response(text="<html>hello</html>")
    async with Storage(_s3_on_https(https)) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.list("s3://bucket/x/")
    assert caught.value.reason == INVALID_RESPONSE


@pytest.mark.parametrize("key", ["x/../../evil", "x//evil", "x/a\\b"])
async def test_hostile_keys_in_a_listing_are_refused(
    https: Https, tmp_path: Path, key: str
) -> None:
    https.handlers["/bucket/"] = lambda _: web.Response(
        text=f"<ListBucketResult><Contents><Key>{key}</Key><Size>1</Size></Contents></ListBucketResult>"
    )
    async with Storage(_s3_on_https(https)) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.download("s3://bucket/x/", tmp_path / "out")
    assert caught.value.reason == UNSAFE_FILE
    assert not (tmp_path / "out").exists()


async def test_large_files_go_in_parts(
    s3_storage: Storage, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tightship.storage.s3.SINGLE_PUT_BYTES", 6 << 20)
    monkeypatch.setattr(multipart, "PART_BYTES", 5 << 20)
    (tmp_path / "big").write_bytes(os.urandom(12 << 20))
    put = await s3_storage.put_file(tmp_path / "big", f"s3://{bucket}/big")
    found = await s3_storage.download(f"s3://{bucket}/big", tmp_path / "back", digest=put.sha256)
    assert found.files == (put,)


async def test_a_failed_part_aborts_the_upload(
    s3_storage: Storage, s3: S3, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tightship.storage.s3.SINGLE_PUT_BYTES", 6 << 20)
    monkeypatch.setattr(multipart, "PART_BYTES", 5 << 20)
    monkeypatch.setattr(multipart, "_range_digest", lambda *_: "0" * 64)
    (tmp_path / "big").write_bytes(bytes(12 << 20))
    with pytest.raises(StorageError):
        await s3_storage.put_file(tmp_path / "big", f"s3://{bucket}/big")
    assert not await s3_storage.exists(f"s3://{bucket}/big")
    assert left_in(s3.bucket(bucket)) == []


async def test_the_server_refuses_bytes_that_are_not_those_signed(
    s3_storage: Storage, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(b"changed")
    honest = file_digest(tmp_path / "x", "x")
    monkeypatch.setattr(
        "tightship.storage.client.file_digest", lambda *_: replace(honest, sha256="0" * 64)
    )
    with pytest.raises(StorageError):
        await s3_storage.put_file(tmp_path / "x", f"s3://{bucket}/x")
    assert not await s3_storage.exists(f"s3://{bucket}/x")


async def test_delete_removes_a_folder_and_only_that(
    s3_storage: Storage, bucket: str, tree: Path
) -> None:
    for name in ("gone", "gone-not"):
        await s3_storage.put_folder(tree, f"s3://{bucket}/{name}/")
    assert await s3_storage.delete_folder(f"s3://{bucket}/gone/") == len(NAMES)
    assert await s3_storage.delete_folder(f"s3://{bucket}/gone/") == 0
    assert await s3_storage.list(f"s3://{bucket}/gone/") == ()
    assert len(await s3_storage.list(f"s3://{bucket}/gone-not/")) == len(NAMES)


@pytest.mark.parametrize("path", ["", "gone"])
async def test_delete_wants_a_folder_s_name(s3_storage: Storage, bucket: str, path: str) -> None:
    with pytest.raises(StorageError) as caught:
        await s3_storage.delete_folder(f"s3://{bucket}/{path}")
    assert caught.value.reason == INVALID_URI


async def test_a_store_that_is_down_may_be_tried_again(s3: S3, tmp_path: Path) -> None:
    settings = S3Settings(endpoint="http://127.0.0.1:9")
    access = s3_access(s3)
    down = replace(access, credentials=replace(access.credentials, s3=settings))
    async with Storage(down) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.download("s3://bucket/x", tmp_path)
    assert caught.value.reason == SOURCE_UNREACHABLE
    assert caught.value.retryable
