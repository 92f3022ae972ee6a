"""Repositories of a real server that speaks the Hugging Face Hub's API, and of one that lies."""

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.integration.storage.conftest import Https, left_in
from tests.support import hub
from tests.support.hub import Hub

from tightship.storage import (
    Access,
    Credentials,
    Download,
    HostPolicy,
    Kind,
    Limits,
    Storage,
    StorageError,
    folder_digest,
)
from tightship.storage.errors import (
    ACCESS_DENIED,
    DIGEST_MISMATCH,
    HOST_NOT_ALLOWED,
    INVALID_CREDENTIALS,
    INVALID_RESPONSE,
    SOURCE_NOT_FOUND,
    SOURCE_TOO_LARGE,
    SOURCE_UNREACHABLE,
    TOO_MANY_FILES,
    UNSAFE_FILE,
    UNSUPPORTED_ARTIFACT,
)

FILES = {
    "README.md": b"# a model\n",
    "config.json": b'{"model_type": "bert"}',
    "onnx/model.onnx": bytes(range(256)) * 500,
    "onnx/model.onnx_data": os.urandom(20_000),
    "onnx/model_quantized.onnx": os.urandom(12_000),
    "onnx/ a b+%20ä.bin": b"small",
    "model.safetensors": os.urandom(30_000),
}
LAYOUT = ["config.json", "onnx/model.onnx", "onnx/model.onnx_data"]


@pytest.fixture(scope="module")
def served() -> Iterator[Hub]:
    with hub.serving() as running:
        yield running


def access(host: str, ca: str, **secret: str) -> Access:
    values = {"HF_ENDPOINT": f"https://{host}", "ca.crt": ca, **secret}
    return Access(
        hosts=HostPolicy.of(host), credentials=Credentials.from_mapping(values), idle_seconds=5
    )


async def pull(reach: Access, uri: str, to: Path, **options: object) -> Download:
    async with Storage(reach) as storage:
        return await storage.download(uri, to, **options)  # type: ignore[arg-type]


async def refusal(reach: Access, uri: str, to: Path, **options: object) -> StorageError:
    with pytest.raises(StorageError) as caught:
        await pull(reach, uri, to, **options)
    assert left_in(to) == []
    assert "canary" not in str(caught.value)
    return caught.value


async def test_a_repository_gives_its_onnx_model(served: Hub, tmp_path: Path) -> None:
    served.commit("org/layout", FILES)
    found = await pull(access(served.host, served.ca), "hf://org/layout", tmp_path)
    assert left_in(tmp_path) == LAYOUT
    assert found.kind is Kind.FOLDER
    assert found.digest == folder_digest(found.files)
    for name in LAYOUT:
        assert (tmp_path / name).read_bytes() == FILES[name]


async def test_files_folders_and_revisions(served: Hub, tmp_path: Path) -> None:
    first = served.commit("org/versions", FILES)
    served.commit("org/versions", {"config.json": b"{}"}, branch="next")
    served.commit("org/versions", {"config.json": b'{"new": 1}'})
    reach = access(served.host, served.ca)
    contents = {
        "hf://org/versions/config.json": b'{"new": 1}',
        f"hf://org/versions@{first}/config.json": FILES["config.json"],
        "hf://org/versions@next/config.json": b"{}",
        "hf://org/versions@main/onnx/model.onnx": FILES["onnx/model.onnx"],
    }
    for number, (uri, content) in enumerate(contents.items()):
        found = await pull(reach, uri, tmp_path / str(number))
        assert found.kind is Kind.FILE
        assert found.digest == hashlib.sha256(content).hexdigest()
        assert (tmp_path / str(number) / uri.rsplit("/", 1)[1]).read_bytes() == content
    for name in ("onnx", "onnx/"):
        await pull(reach, f"hf://org/versions@{first}/{name}", tmp_path / "folder")
        inside = [path.removeprefix("onnx/") for path in FILES if path.startswith("onnx/")]
        assert left_in(tmp_path / "folder") == sorted(inside)


async def test_what_a_conversion_fixed_and_what_moved(served: Hub, tmp_path: Path) -> None:
    served.commit("org/moved", FILES)
    reach = access(served.host, served.ca)
    found = await pull(reach, "hf://org/moved", tmp_path / "first")
    again = await pull(reach, "hf://org/moved", tmp_path / "again", digest=found.digest)
    assert again.files == found.files
    served.commit("org/moved", {"config.json": b'{"new": 1}'})
    error = await refusal(reach, "hf://org/moved", tmp_path / "moved", digest=found.digest)
    assert error.reason == DIGEST_MISMATCH


async def test_what_is_not_there(served: Hub, tmp_path: Path) -> None:
    served.commit("org/bare", {"README.md": b"x"})
    served.commit("org/other", {"config.json": b"{}", "encoder.onnx": b"x"})
    reach = access(served.host, served.ca)
    for uri, reason, words in (
        ("hf://org/nothing", SOURCE_NOT_FOUND, "no such repository"),
        ("hf://org/bare@nothing", SOURCE_NOT_FOUND, "revision"),
        ("hf://org/bare", UNSUPPORTED_ARTIFACT, "optimum-cli"),
        ("hf://org/other", UNSUPPORTED_ARTIFACT, "encoder.onnx: name one of them"),
        ("hf://org/bare/model.onnx", SOURCE_NOT_FOUND, "does not exist"),
        ("hf://org/bare/folder/", SOURCE_NOT_FOUND, "does not exist"),
    ):
        error = await refusal(reach, uri, tmp_path / "out")
        assert error.reason == reason
        assert words in error.message


async def test_caps_and_hosts(served: Hub, tmp_path: Path) -> None:
    served.commit("org/caps", FILES)
    reach = access(served.host, served.ca)
    for limits, reason in {
        Limits(max_bytes=100_000): SOURCE_TOO_LARGE,
        Limits(max_files=2): TOO_MANY_FILES,
    }.items():
        assert (await refusal(reach, "hf://org/caps", tmp_path, limits=limits)).reason == reason
    public = Access(hosts=HostPolicy.of(served.host))
    error = await refusal(public, "hf://org/caps", tmp_path)
    assert error.reason == HOST_NOT_ALLOWED
    assert "huggingface.co" in error.message


@pytest.mark.parametrize(
    "value", ["http://h", "h", "https://", "https://u:canary@h", "https://h?x=1", "https://["]
)
def test_endpoints_that_are_refused(value: str) -> None:
    with pytest.raises(StorageError, match="HF_ENDPOINT") as caught:
        Credentials.from_mapping({"HF_ENDPOINT": value})
    assert caught.value.reason == INVALID_CREDENTIALS
    assert "canary" not in str(caught.value)


COMMIT = "c" * 40
CONTENT = b"model" * 3000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TREE = f"/api/models/org/m/tree/{COMMIT}"
RESOLVE = f"/org/m/resolve/{COMMIT}/model.onnx"
Entry = dict[str, object]


def entry(**changes: object) -> Entry:
    lfs = {"oid": SHA256, "size": len(CONTENT), "pointerSize": 130}
    file = {"type": "file", "path": "model.onnx", "oid": "0" * 40, "size": len(CONTENT)}
    return {**file, "lfs": lfs, **changes}


def pretend(https: Https, *entries: object, content: bytes = CONTENT) -> Access:
    """Have the server answer as the Hub documents it, with one repository org/m."""
    https.handlers["/api/models/org/m/revision/main"] = lambda _: web.json_response({"sha": COMMIT})
    https.handlers[TREE] = lambda _: web.json_response(list(entries))
    https.handlers[RESOLVE] = lambda _: web.Response(body=content)
    return access(f"localhost:{https.port}", https.ca, HF_TOKEN="hf_canary")


async def test_the_token_goes_to_the_endpoint_and_not_to_where_it_points(
    https: Https, tmp_path: Path
) -> None:
    reach = pretend(https, entry())
    https.handlers[RESOLVE] = lambda _: web.Response(
        status=302, headers={"Location": f"https://127.0.0.1:{https.port}/xet?sig=1"}
    )
    https.handlers["/xet"] = lambda _: web.Response(body=CONTENT)
    both = Access(hosts=HostPolicy.of("localhost", "127.0.0.1"), credentials=reach.credentials)
    await pull(both, "hf://org/m/model.onnx", tmp_path)
    assert left_in(tmp_path) == ["model.onnx"]
    sent = {request.path: request.headers.get("Authorization") for request in https.asked}
    assert sent.pop("/xet") is None
    assert set(sent.values()) == {"Bearer hf_canary"}


async def test_a_revision_with_a_slash_is_one_part_of_the_address(
    https: Https, tmp_path: Path
) -> None:
    reach = pretend(https, entry())
    revision = https.handlers["/api/models/org/m/revision/main"]
    https.handlers["/api/models/org/m/revision/refs/pr/1"] = revision
    https.handlers["/api/models/org/m/revision/refs%2Fpr%2F1"] = revision
    await pull(reach, "hf://org/m@refs%2Fpr%2F1/model.onnx", tmp_path)
    assert https.asked[0].rel_url.raw_path.endswith("/revision/refs%2Fpr%2F1")


async def test_large_files_on_a_host_that_is_not_listed(https: Https, tmp_path: Path) -> None:
    reach = pretend(https, entry())
    https.handlers[RESOLVE] = lambda _: web.Response(
        status=302, headers={"Location": "https://cas-bridge.xethub.hf.co/x?X-Amz-Signature=canary"}
    )
    error = await refusal(reach, "hf://org/m/model.onnx", tmp_path)
    assert error.reason == HOST_NOT_ALLOWED
    assert "cas-bridge.xethub.hf.co" in error.message
    assert "spec.converter.allowedHosts" in error.message


def git_sha1(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


@pytest.mark.parametrize(
    ("listed", "content", "reason"),
    [
        (entry(), CONTENT[:-1] + b"x", DIGEST_MISMATCH),
        (entry(), CONTENT + b"x", DIGEST_MISMATCH),
        (entry(), CONTENT[:-1], DIGEST_MISMATCH),
        (entry(lfs=None, oid=git_sha1(CONTENT)), CONTENT, None),
        (entry(lfs=None, oid=git_sha1(CONTENT)), CONTENT[:-1] + b"x", DIGEST_MISMATCH),
    ],
    ids=["changed", "longer", "shorter", "a Git object", "another Git object"],
)
async def test_bytes_are_those_of_the_listing(
    https: Https, tmp_path: Path, listed: Entry, content: bytes, reason: str | None
) -> None:
    reach = pretend(https, listed, content=content)
    if reason is None:
        await pull(reach, "hf://org/m/model.onnx", tmp_path)
    else:
        assert (await refusal(reach, "hf://org/m/model.onnx", tmp_path)).reason == reason


LISTINGS: dict[str, tuple[object, str]] = {
    "climbs": (entry(path="x/../../model.onnx"), UNSAFE_FILE),
    "is absolute": (entry(path="/etc/model.onnx"), UNSAFE_FILE),
    "no digest": (entry(lfs={"oid": "../x", "size": 1}), INVALID_RESPONSE),
    "no Git object": (entry(lfs=None, oid="x"), INVALID_RESPONSE),
    "negative": (entry(lfs=None, size=-1), INVALID_RESPONSE),
    "no entry": (5, INVALID_RESPONSE),
}


@pytest.mark.parametrize("case", LISTINGS)
async def test_listings_that_lie(https: Https, tmp_path: Path, case: str) -> None:
    listed, reason = LISTINGS[case]
    https.handlers["/api/models/org/m/revision/x"] = lambda _: web.json_response({"sha": COMMIT})
    reach = pretend(https, listed)
    https.handlers[f"{TREE}/x"] = https.handlers[TREE]
    error = await refusal(reach, "hf://org/m/x/", tmp_path)
    assert error.reason == reason


async def test_a_listing_of_many_pages(https: Https, tmp_path: Path) -> None:
    reach = pretend(https)
    pages = [[entry(path="config.json")], [entry()]]

    def page(request: web.Request) -> web.Response:
        number = int(request.query.get("cursor", "0"))
        following = f'<{https.url(TREE[1:])}?recursive=true&cursor={number + 1}>; rel="next"'
        headers = {"Link": following} if number + 1 < len(pages) else {}
        return web.json_response(pages[number], headers=headers)

    https.handlers[TREE] = page
    https.handlers[f"/org/m/resolve/{COMMIT}/config.json"] = https.handlers[RESOLVE]
    await pull(reach, "hf://org/m", tmp_path)
    assert left_in(tmp_path) == ["config.json", "model.onnx"]


@pytest.mark.parametrize(
    "link", ["https://elsewhere.example.com/", "https://[", "https://localhost:99999/", "/again"]
)
async def test_a_listing_that_leads_elsewhere_or_nowhere(
    https: Https, tmp_path: Path, link: str
) -> None:
    reach = pretend(https)
    headers = {"Link": f'<{link}>; rel="next"'}
    https.handlers[TREE] = lambda _: web.json_response([entry()], headers=headers)
    https.handlers["/again"] = https.handlers[TREE]
    error = await refusal(reach, "hf://org/m", tmp_path)
    assert error.reason == (TOO_MANY_FILES if link == "/again" else INVALID_RESPONSE)
    assert len(https.asked) < 30


Made = Callable[[], web.Response]
ANSWERS: dict[str, tuple[Made, str, str]] = {
    "gated": (
        lambda: web.Response(status=403, headers={"X-Error-Code": "GatedRepo"}),
        ACCESS_DENIED,
        "Accept its conditions",
    ),
    "private": (
        lambda: web.Response(status=401, headers={"X-Error-Code": "RepoNotFound"}),
        SOURCE_NOT_FOUND,
        "that the token may read it",
    ),
    "revision": (
        lambda: web.Response(status=404, headers={"X-Error-Code": "RevisionNotFound"}),
        SOURCE_NOT_FOUND,
        "no such branch, tag or commit",
    ),
    "token": (lambda: web.Response(status=401), ACCESS_DENIED, "HF_TOKEN"),
    "later": (
        lambda: web.Response(status=429, headers={"Retry-After": "300"}),
        SOURCE_UNREACHABLE,
        "asks to wait 300 s",
    ),
    "page": (lambda: web.Response(text="<html>"), INVALID_RESPONSE, "HF_ENDPOINT"),
    "commit": (
        lambda: web.json_response({"sha": "../../x"}),
        INVALID_RESPONSE,
        "HF_ENDPOINT",
    ),
    "list": (lambda: web.json_response([]), INVALID_RESPONSE, "HF_ENDPOINT"),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_refusals(https: Https, tmp_path: Path, case: str) -> None:
    made, reason, words = ANSWERS[case]
    reach = pretend(https, entry())
    https.handlers["/api/models/org/m/revision/main"] = lambda _: made()
    error = await refusal(reach, "hf://org/m", tmp_path)
    assert error.reason == reason
    assert words in error.message
