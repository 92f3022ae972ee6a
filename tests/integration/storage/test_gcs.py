"""Google Cloud Storage's API by a real server of it, and tokens by one that checks what it gets."""

import base64
import json
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from tests.integration.storage.conftest import Https, gcs_access, left_in
from tests.support import gcs
from tests.support.gcs import EMAIL, Account, Gcs

from tightship.storage import (
    Access,
    Credentials,
    HostPolicy,
    Kind,
    Limits,
    Stat,
    Storage,
    StorageError,
    file_digest,
    folder_digest,
    gcs_hosts,
)
from tightship.storage.errors import (
    ACCESS_DENIED,
    DIGEST_MISMATCH,
    HOST_NOT_ALLOWED,
    INVALID_CREDENTIALS,
    INVALID_RESPONSE,
    REDIRECT_REFUSED,
    SOURCE_NOT_FOUND,
    SOURCE_TOO_LARGE,
    SOURCE_UNREACHABLE,
    TOO_MANY_FILES,
    UNSAFE_FILE,
)

NAMES = ("config.pbtxt", "1/model.onnx", "1/a b+%20ä=~&?#.bin", "empty")


@pytest.fixture
async def storage(gcs_server: Gcs) -> AsyncIterator[Storage]:
    async with Storage(gcs_access(gcs_server)) as opened:
        yield opened


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for index, name in enumerate(NAMES):
        (tmp_path / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "tree" / name).write_bytes(b"" if name == "empty" else os.urandom(5000 + index))
    return tmp_path / "tree"


async def test_a_folder_goes_there_and_back(storage: Storage, tree: Path, tmp_path: Path) -> None:
    put = await storage.put_folder(tree, "gs://models/back/x/")
    assert put == tuple(sorted(file_digest(tree / name, name) for name in NAMES))
    for uri in ("gs://models/back/x/", "gs://models/back/x"):
        assert await storage.stat(uri) == Stat(kind=Kind.FOLDER, bytes=None)
        found = await storage.download(uri, tmp_path / "back")
        assert found.files == put
        assert found.digest == folder_digest(put)
    for name in NAMES:
        assert (tmp_path / "back" / name).read_bytes() == (tree / name).read_bytes()
    for entry in await storage.list("gs://models/back/x/"):
        assert entry.modified is not None
        assert abs(time.time() - entry.modified) < 60


async def test_one_object(storage: Storage, tmp_path: Path) -> None:
    uri = "gs://models/deep/er/m.onnx"
    put = await storage.put_bytes(b"content", uri)
    assert await storage.stat(uri) == Stat(kind=Kind.FILE, bytes=7)
    assert (await storage.download(uri, tmp_path, digest=put.sha256)).digest == put.sha256
    await storage.put_bytes(b"other", uri)
    assert await storage.read(uri) == b"other"
    with pytest.raises(StorageError) as caught:
        await storage.download(uri, tmp_path / "old", digest=put.sha256)
    assert caught.value.reason == DIGEST_MISMATCH
    await storage.delete(uri)
    await storage.delete(uri)
    assert not await storage.exists(uri)


async def test_more_objects_than_one_page(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tightship.storage.gcs._PAGE", 3)
    for index in range(8):
        await storage.put_bytes(b"x", f"gs://models/pages/{index}")
    assert [entry.path for entry in await storage.list("gs://models/pages/")] == list("01234567")
    with pytest.raises(StorageError) as caught:
        await storage.list("gs://models/pages/", max_files=7)
    assert caught.value.reason == TOO_MANY_FILES
    assert await storage.delete_folder("gs://models/pages/") == 8
    assert await storage.list("gs://models/pages/") == ()


async def test_what_is_not_there_and_caps(storage: Storage, tmp_path: Path) -> None:
    await storage.put_bytes(bytes(1000), "gs://models/caps/m.onnx")
    for uri in ("gs://models/nothing", "gs://models/cap", "gs://nowhere/m", "gs://nowhere/m/"):
        with pytest.raises(StorageError) as caught:
            await storage.download(uri, tmp_path / "out")
        assert caught.value.reason == SOURCE_NOT_FOUND
    for uri in ("gs://models/caps", "gs://models/caps/m.onnx"):
        with pytest.raises(StorageError) as caught:
            await storage.download(uri, tmp_path / "out", limits=Limits(max_bytes=999))
        assert caught.value.reason == SOURCE_TOO_LARGE
    assert not (tmp_path / "out").exists()


async def test_the_host_must_be_listed(gcs_server: Gcs, tmp_path: Path) -> None:
    async with Storage(Access(hosts=HostPolicy.of(gcs_server.host))) as storage:
        with pytest.raises(StorageError, match=r"storage\.googleapis\.com") as caught:
            await storage.download("gs://models/x", tmp_path)
    assert caught.value.reason == HOST_NOT_ALLOWED


async def test_an_emulator_without_tls_gets_no_token(tmp_path: Path) -> None:
    key = gcs.account("https://tokens.example.com/token").text
    with gcs.serving("plain", tls=False) as server:
        secret = {"gcloud-application-credentials.json": key, "STORAGE_EMULATOR_HOST": server.host}
        async with Storage(gcs_access(server, **secret)) as storage:
            await storage.put_bytes(b"content", "gs://plain/m")
            await storage.download("gs://plain/m", tmp_path)
    assert left_in(tmp_path) == ["m"]


class Google:
    """Tokens for what is signed rightly, and one object for those who have a token."""

    def __init__(self, https: Https) -> None:
        self.https = https
        self.account: Account = gcs.account(https.url("token"))
        self.scopes: list[str] = []
        self.valid = 0
        google = self

        class Token(web.Response):
            async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
                google.scopes.append(google.scope((await request.read()).decode()))
                google.valid += 1
                token = {"access_token": f"canary-{google.valid}", "expires_in": 3600}
                self.body = json.dumps(token).encode()
                return await super().prepare(request)

        https.handlers["/token"] = lambda _: Token()
        https.handlers["/storage/v1/b/models/o/m.onnx"] = self.object
        https.handlers["/upload/storage/v1/b/models/o"] = self.object

    def scope(self, form: str) -> str:
        fields = parse_qs(form)
        assert fields["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
        head, claims, signature = fields["assertion"][0].split(".")
        self.account.key.public_key().verify(
            decoded(signature), f"{head}.{claims}".encode(), PKCS1v15(), hashes.SHA256()
        )
        assert json.loads(decoded(head)) == {"alg": "RS256", "typ": "JWT", "kid": "key-1"}
        told: dict[str, Any] = json.loads(decoded(claims))
        assert told["iss"] == EMAIL
        assert told["aud"] == self.https.url("token")
        assert told["iat"] <= time.time() < told["exp"] <= told["iat"] + 3600
        return str(told["scope"])

    def object(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Bearer canary-{self.valid}":
            return web.Response(status=401)
        if request.query.get("alt") == "media":
            return web.Response(body=b"content")
        return web.json_response({"name": "m.onnx", "size": "7", "md5Hash": "wrong"})

    @property
    def access(self) -> Access:
        secret = {
            "gcloud-application-credentials.json": self.account.text,
            "STORAGE_EMULATOR_HOST": f"https://localhost:{self.https.port}",
            "ca.crt": self.https.ca,
        }
        credentials = Credentials.from_mapping(secret)
        return Access(hosts=HostPolicy.of(*gcs_hosts(credentials)), credentials=credentials)


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


async def test_a_service_account_asks_for_one_token_and_for_a_new_one_when_it_ends(
    https: Https, tmp_path: Path
) -> None:
    google = Google(https)
    async with Storage(google.access) as storage:
        await storage.download("gs://models/m.onnx", tmp_path)
        assert google.scopes == ["https://www.googleapis.com/auth/devstorage.read_only"]
        google.valid = 7  # the server forgets the token that it gave
        await storage.download("gs://models/m.onnx", tmp_path)
    assert len(google.scopes) == 2
    assert "canary" not in repr(google.access)
    assert "PRIVATE" not in repr(google.access)


async def test_what_arrives_otherwise_than_it_was_sent(https: Https) -> None:
    google = Google(https)
    async with Storage(google.access) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.put_bytes(b"content", "gs://models/m.onnx")
    assert (caught.value.reason, caught.value.retryable) == (DIGEST_MISMATCH, True)
    assert https.asked[-1].method == "DELETE"
    assert google.scopes == ["https://www.googleapis.com/auth/devstorage.read_write"]


async def test_a_token_service_that_is_not_listed(https: Https, tmp_path: Path) -> None:
    google = Google(https)
    google.account = gcs.account("https://tokens.example.com/token")
    reach = Access(
        hosts=HostPolicy.of(f"localhost:{https.port}"), credentials=google.access.credentials
    )
    async with Storage(reach) as storage:
        with pytest.raises(StorageError, match=r"tokens\.example\.com") as caught:
            await storage.download("gs://models/m.onnx", tmp_path)
    assert caught.value.reason == HOST_NOT_ALLOWED
    assert https.asked == []


ANSWERS: dict[str, tuple[web.Response, str]] = {
    "denied": (web.Response(status=403), ACCESS_DENIED),
    "later": (web.Response(status=429, headers={"Retry-After": "900"}), SOURCE_UNREACHABLE),
    "elsewhere": (
        web.Response(status=302, headers={"Location": "https://169.254.169.254/"}),
        REDIRECT_REFUSED,
    ),
    "a page": (web.Response(text="<html>"), INVALID_RESPONSE),
    "a list": (web.json_response([]), INVALID_RESPONSE),
    "no size": (web.json_response({"size": "-1"}), INVALID_RESPONSE),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_answers_that_are_none(https: Https, tmp_path: Path, case: str) -> None:
    google = Google(https)
    answer, reason = ANSWERS[case]

    def made(_: web.Request) -> web.Response:
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    https.handlers["/storage/v1/b/models/o/m.onnx"] = made
    async with Storage(google.access) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.download("gs://models/m.onnx", tmp_path)
    assert caught.value.reason == reason
    assert "canary" not in str(caught.value)
    assert left_in(tmp_path) == []


@pytest.mark.parametrize("name", ["x/../../m", "x//m", "x/a\\b", "x/./m"])
async def test_names_that_lead_elsewhere(https: Https, tmp_path: Path, name: str) -> None:
    google = Google(https)
    item = {"name": name, "size": "7", "updated": "2026-01-01T00:00:00.000Z"}
    https.handlers["/storage/v1/b/models/o"] = lambda _: web.json_response({"items": [item]})
    async with Storage(google.access) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.download("gs://models/x/", tmp_path)
    assert caught.value.reason == UNSAFE_FILE
    assert left_in(tmp_path) == []


SECRETS = {
    "no JSON": {"gcloud-application-credentials.json": "canary"},
    "of a person": {"gcloud-application-credentials.json": '{"type": "authorized_user"}'},
    "no key": {
        "gcloud-application-credentials.json": json.dumps(
            {
                "type": "service_account",
                "client_email": "x",
                "private_key": "canary",
                "token_uri": "https://h/t",
            }
        )
    },
    "tokens in the clear": {
        "gcloud-application-credentials.json": gcs.account("http://tokens.example.com/").text
    },
    "endpoint with a path": {"STORAGE_EMULATOR_HOST": "https://h/x"},
    "endpoint with a user": {"STORAGE_EMULATOR_HOST": "https://u:canary@h"},
    "endpoint of files": {"STORAGE_EMULATOR_HOST": "file:///etc"},
}


@pytest.mark.parametrize("case", SECRETS)
def test_secrets_that_are_refused(case: str) -> None:
    with pytest.raises(StorageError) as caught:
        Credentials.from_mapping(SECRETS[case])
    assert caught.value.reason == INVALID_CREDENTIALS
    assert "canary" not in str(caught.value)
