"""A registry that lies, redirects, asks for credentials elsewhere or will not stop."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from tests.integration.storage.conftest import Https, left_in

from tightship.storage import Access, Credentials, HostPolicy, Limits, Storage, StorageError
from tightship.storage.errors import (
    ACCESS_DENIED,
    DIGEST_MISMATCH,
    HOST_NOT_ALLOWED,
    INVALID_RESPONSE,
    REDIRECT_REFUSED,
    SOURCE_NOT_FOUND,
    SOURCE_TOO_LARGE,
    SOURCE_UNREACHABLE,
    TOO_MANY_FILES,
    UNSAFE_FILE,
    UNSUPPORTED_ARTIFACT,
)

CONTENT = b"model" * 1000
SHA256 = hashlib.sha256(CONTENT).hexdigest()
TITLE = "org.opencontainers.image.title"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
Document = dict[str, Any]


def layer(**changes: object) -> Document:
    return {
        "mediaType": "application/vnd.oci.image.layer.v1.tar",
        "digest": f"sha256:{SHA256}",
        "size": len(CONTENT),
        "annotations": {TITLE: "model.onnx"},
        **changes,
    }


def serve(https: Https, *layers: Document, blob: bytes = CONTENT, **changes: object) -> str:
    """Have the server be a registry with one artifact; returns its URI."""
    manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": list(layers), **changes}
    body = json.dumps(manifest).encode()
    digest = hashlib.sha256(body).hexdigest()
    for reference in ("v1", f"sha256:{digest}"):
        https.handlers[f"/v2/m/manifests/{reference}"] = lambda _: web.Response(
            body=body, content_type=MANIFEST
        )
    https.handlers[f"/v2/m/blobs/sha256:{SHA256}"] = lambda _: web.Response(body=blob)
    return f"oci://localhost:{https.port}/m:v1"


@pytest.fixture
def reach(https: Https) -> Access:
    return Access(
        hosts=HostPolicy.of(f"localhost:{https.port}"),
        credentials=Credentials(ca=https.ca, authorization="Basic Y2FuYXJ5OmNhbmFyeQ=="),
        idle_seconds=2,
    )


async def refusal(reach: Access, uri: str, to: Path, limits: Limits | None = None) -> StorageError:
    async with Storage(reach) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.download(uri, to, limits=limits)
    assert left_in(to) == []
    assert "canary" not in str(caught.value).lower()
    assert "Y2FuYXJ5" not in str(caught.value)
    return caught.value


def manifest_of(**changes: object) -> Document:
    return {"layers": [layer()], **changes}


MANIFESTS: dict[str, tuple[Document, str]] = {
    "title climbs": (manifest_of(layers=[layer(annotations={TITLE: "../x"})]), UNSAFE_FILE),
    "title is absolute": (manifest_of(layers=[layer(annotations={TITLE: "/x"})]), UNSAFE_FILE),
    "title of ours": (manifest_of(layers=[layer(annotations={TITLE: ".layers/x"})]), UNSAFE_FILE),
    "title twice": (manifest_of(layers=[layer(), layer()]), UNSAFE_FILE),
    "file is folder": (
        manifest_of(layers=[layer(), layer(annotations={TITLE: "model.onnx/x"})]),
        UNSAFE_FILE,
    ),
    "kept elsewhere": (
        manifest_of(
            layers=[layer(mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")]
        ),
        UNSUPPORTED_ARTIFACT,
    ),
    "zstd": (
        manifest_of(
            layers=[
                layer(mediaType="application/vnd.oci.image.layer.v1.tar+zstd", annotations=None)
            ]
        ),
        UNSUPPORTED_ARTIFACT,
    ),
    "a chart": (
        manifest_of(mediaType="application/vnd.cncf.helm.config.v1+json"),
        UNSUPPORTED_ARTIFACT,
    ),
    "no files": (
        manifest_of(layers=[layer(mediaType="application/vnd.oci.empty.v1+json")]),
        SOURCE_NOT_FOUND,
    ),
    "no layers": (manifest_of(layers=None), INVALID_RESPONSE),
    "digest of another kind": (manifest_of(layers=[layer(digest="md5:1")]), INVALID_RESPONSE),
    "digest climbs": (
        manifest_of(layers=[layer(digest="sha256:../../../../etc")]),
        INVALID_RESPONSE,
    ),
    "negative size": (manifest_of(layers=[layer(size=-1)]), INVALID_RESPONSE),
    "size of another kind": (manifest_of(layers=[layer(size="5")]), INVALID_RESPONSE),
    "many layers": (manifest_of(layers=[layer()] * 1001), TOO_MANY_FILES),
}


@pytest.mark.parametrize("case", MANIFESTS)
async def test_manifests(https: Https, reach: Access, tmp_path: Path, case: str) -> None:
    manifest, reason = MANIFESTS[case]
    uri = serve(https, **manifest)
    assert (await refusal(reach, uri, tmp_path)).reason == reason
    assert not any("blobs" in request.path for request in https.asked)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"", b"[" * 200_000], ids=str)
async def test_no_manifest(https: Https, reach: Access, tmp_path: Path, body: bytes) -> None:
    uri = serve(https, layer())
    digest = hashlib.sha256(body).hexdigest()
    for reference in ("v1", f"sha256:{digest}"):
        https.handlers[f"/v2/m/manifests/{reference}"] = lambda _: web.Response(body=body)
    assert (await refusal(reach, uri, tmp_path)).reason == INVALID_RESPONSE


async def test_an_endless_manifest(https: Https, reach: Access, tmp_path: Path) -> None:
    async def endless(_: web.Request) -> AsyncIterator[bytes]:
        while True:
            yield bytes(1 << 16)
            await asyncio.sleep(0)  # client and server share the loop

    uri = serve(https, layer())
    https.handlers["/v2/m/manifests/v1"] = endless
    assert (await refusal(reach, uri, tmp_path)).reason == INVALID_RESPONSE


@pytest.mark.parametrize(
    "blob",
    [CONTENT[:-1] + b"x", CONTENT[:-1], CONTENT + b"x", b""],
    ids=["changed", "shorter", "longer", "empty"],
)
async def test_other_bytes_than_the_digests(
    https: Https, reach: Access, tmp_path: Path, blob: bytes
) -> None:
    error = await refusal(reach, serve(https, layer(), blob=blob), tmp_path)
    assert error.reason == DIGEST_MISMATCH
    assert "model.onnx" in error.message


async def test_a_manifest_that_changes_after_it_was_pinned(
    https: Https, reach: Access, tmp_path: Path
) -> None:
    uri = serve(https, layer())
    pinned = next(path for path in https.handlers if "sha256" in path and "manifests" in path)
    https.handlers[pinned] = lambda _: web.json_response(manifest_of(mediaType=MANIFEST))
    assert (await refusal(reach, uri, tmp_path)).reason == DIGEST_MISMATCH


async def test_announced_sizes_count(https: Https, reach: Access, tmp_path: Path) -> None:
    uri = serve(https, layer())
    error = await refusal(reach, uri, tmp_path, Limits(max_bytes=len(CONTENT) - 1))
    assert error.reason == SOURCE_TOO_LARGE
    assert not any("blobs" in request.path for request in https.asked)


REDIRECTS = {
    "http://169.254.169.254/latest/meta-data/": (REDIRECT_REFUSED, "169.254.169.254"),
    "https://169.254.169.254/latest/": (HOST_NOT_ALLOWED, "169.254.169.254"),
    "https://elsewhere.example.com/blob?X-Amz-Signature=canary": (
        HOST_NOT_ALLOWED,
        "elsewhere.example.com",
    ),
    "https://user:canary@localhost/": (REDIRECT_REFUSED, "localhost"),
    "file:///etc/passwd": (REDIRECT_REFUSED, "file"),
    "https://localhost:99999/": (REDIRECT_REFUSED, "no valid address"),
    "https://[": (REDIRECT_REFUSED, "no valid address"),
    "https://localhost/\u00e9": (REDIRECT_REFUSED, "no valid address"),
    "/v2/m/loop": (REDIRECT_REFUSED, "localhost"),
}


@pytest.mark.parametrize("target", REDIRECTS)
async def test_redirects_that_are_not_followed(
    https: Https, reach: Access, tmp_path: Path, target: str
) -> None:
    uri = serve(https, layer())
    for path in (f"/v2/m/blobs/sha256:{SHA256}", "/v2/m/loop"):
        https.handlers[path] = lambda _: web.Response(status=307, headers={"Location": target})
    error = await refusal(reach, uri, tmp_path)
    reason, words = REDIRECTS[target]
    assert error.reason == reason
    assert words in error.message
    if reason == HOST_NOT_ALLOWED:
        assert "spec.converter.allowedHosts" in error.message
    assert sum("loop" in request.path for request in https.asked) <= 3


async def test_no_credentials_go_along_to_another_host(
    https: Https, tmp_path: Path, reach: Access
) -> None:
    def guarded(request: web.Request) -> web.Response:
        if "Authorization" not in request.headers:
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="x"'})
        port = https.port
        return web.Response(status=307, headers={"Location": f"https://127.0.0.1:{port}/cdn?sig=1"})

    uri = serve(https, layer())
    https.handlers[f"/v2/m/blobs/sha256:{SHA256}"] = guarded
    https.handlers["/cdn"] = lambda _: web.Response(body=CONTENT)
    both = HostPolicy.of("localhost", "127.0.0.1")
    async with Storage(Access(hosts=both, credentials=reach.credentials)) as storage:
        await storage.download(uri, tmp_path)
    asked = [request for request in https.asked if request.path == "/cdn"]
    assert [request.headers.get("Authorization") for request in asked] == [None]
    assert asked[0].query_string == "sig=1"
    assert (tmp_path / "model.onnx").read_bytes() == CONTENT


async def test_a_challenge_behind_a_redirect_is_not_answered(
    https: Https, tmp_path: Path, reach: Access
) -> None:
    uri = serve(https, layer())
    https.handlers[f"/v2/m/blobs/sha256:{SHA256}"] = lambda _: web.Response(
        status=307, headers={"Location": f"https://127.0.0.1:{https.port}/cdn"}
    )
    https.handlers["/cdn"] = lambda _: web.Response(
        status=401, headers={"WWW-Authenticate": 'Basic realm="x"'}
    )
    both = HostPolicy.of("localhost", "127.0.0.1")
    error = await refusal(Access(hosts=both, credentials=reach.credentials), uri, tmp_path)
    assert error.reason == ACCESS_DENIED
    assert not any("Authorization" in request.headers for request in https.asked)


REALMS = {
    "http://localhost/token": INVALID_RESPONSE,
    "https://user:canary@localhost/token": INVALID_RESPONSE,
    "": INVALID_RESPONSE,
    "https://[": INVALID_RESPONSE,
    "https://tokens.example.com/token": HOST_NOT_ALLOWED,
    "https://169.254.169.254/token": HOST_NOT_ALLOWED,
}


@pytest.mark.parametrize("realm", REALMS)
async def test_token_services_that_get_no_credentials(
    https: Https, tmp_path: Path, reach: Access, realm: str
) -> None:
    uri = serve(https, layer())
    https.handlers["/v2/m/manifests/v1"] = lambda _: web.Response(
        status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm}",service="x"'}
    )
    basic = Credentials(ca=https.ca, authorization="Basic Y2FuYXJ5OmNhbmFyeQ==")
    error = await refusal(Access(hosts=reach.hosts, credentials=basic), uri, tmp_path)
    assert error.reason == REALMS[realm]
    assert not any("Authorization" in request.headers for request in https.asked)


async def test_a_registry_that_refuses_every_token(
    https: Https, tmp_path: Path, reach: Access
) -> None:
    uri = serve(https, layer())
    realm = https.url("token")
    https.handlers["/token"] = lambda _: web.json_response({"access_token": "canary"})
    https.handlers["/v2/m/manifests/v1"] = lambda _: web.Response(
        status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'}
    )
    assert (await refusal(reach, uri, tmp_path)).reason == ACCESS_DENIED
    assert len(https.asked) == 3


@pytest.mark.parametrize("answer", ["[]", "{}", '{"token": 1}', '{"token": "a\\nb"}', "<html>"])
async def test_a_token_service_that_sends_none(
    https: Https, tmp_path: Path, reach: Access, answer: str
) -> None:
    uri = serve(https, layer())
    realm = https.url("token")
    https.handlers["/token"] = lambda _: web.Response(text=answer)
    https.handlers["/v2/m/manifests/v1"] = lambda _: web.Response(
        status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'}
    )
    error = await refusal(reach, uri, tmp_path)
    assert error.reason == INVALID_RESPONSE
    assert "sends no token" in error.message


async def test_an_identity_token_goes_to_the_token_service_alone(
    https: Https, tmp_path: Path, reach: Access
) -> None:
    uri = serve(https, layer())
    realm, manifest = https.url("token"), https.handlers["/v2/m/manifests/v1"]
    forms: list[str] = []

    def guarded(request: web.Request) -> web.StreamResponse | AsyncIterator[bytes]:
        if request.headers.get("Authorization") == "Bearer fresh":
            return manifest(request)
        return web.Response(status=401, headers={"WWW-Authenticate": f'Bearer realm="{realm}"'})

    https.handlers["/v2/m/manifests/v1"] = guarded

    class Token(web.Response):
        async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
            forms.append((await request.read()).decode())
            return await super().prepare(request)

    https.handlers["/token"] = lambda _: Token(text='{"access_token": "fresh"}')
    config = {"auths": {f"localhost:{https.port}": {"identitytoken": "refresh-canary"}}}
    credentials = Credentials.from_mapping(
        {".dockerconfigjson": json.dumps(config), "ca.crt": https.ca}
    )
    async with Storage(Access(hosts=reach.hosts, credentials=credentials)) as storage:
        await storage.download(uri, tmp_path)
    assert len(forms) == 1
    assert "grant_type=refresh_token" in forms[0]
    assert "refresh_token=refresh-canary" in forms[0]
    assert "scope=repository%3Am%3Apull" in forms[0]


async def test_a_registry_that_asks_for_a_moment(
    https: Https, tmp_path: Path, reach: Access
) -> None:
    uri = serve(https, layer())
    manifest = https.handlers["/v2/m/manifests/v1"]

    def limited(request: web.Request) -> web.StreamResponse | AsyncIterator[bytes]:
        if len(https.asked) == 1:
            return web.Response(status=429, headers={"Retry-After": "1"})
        return manifest(request)

    https.handlers["/v2/m/manifests/v1"] = limited
    async with Storage(reach) as storage:
        await storage.download(uri, tmp_path)
    assert left_in(tmp_path) == ["model.onnx"]


@pytest.mark.parametrize("wait", ["3600", "Wed, 21 Oct 2099 07:28:00 GMT"])
async def test_a_registry_that_asks_for_an_hour(
    https: Https, tmp_path: Path, reach: Access, wait: str
) -> None:
    uri = serve(https, layer())
    https.handlers["/v2/m/manifests/v1"] = lambda _: web.Response(
        status=429, headers={"Retry-After": wait}
    )
    error = await refusal(reach, uri, tmp_path)
    assert (error.reason, error.retryable) == (SOURCE_UNREACHABLE, True)
    assert "asks to wait" in error.message
    assert len(https.asked) == 1
