"""Artifacts and images from a real registry over TLS, pushed by the ORAS client."""

import asyncio
import gzip
import io
import json
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.integration.storage.conftest import Https, left_in
from tests.support import certificate, registry, s3
from tests.support.registry import PASSWORD, TAR, USER, Registry, TokenKey

from tightship.storage import (
    Access,
    ArchiveLimits,
    Credentials,
    Download,
    HostPolicy,
    Kind,
    Limits,
    Storage,
    StorageError,
    assemble,
    file_digest,
    has_layers,
)
from tightship.storage.errors import (
    ACCESS_DENIED,
    ARCHIVE_UNSAFE,
    DIGEST_MISMATCH,
    HOST_NOT_ALLOWED,
    INVALID_CREDENTIALS,
    SOURCE_NOT_FOUND,
    SOURCE_TOO_LARGE,
    TOO_MANY_FILES,
    UNSUPPORTED_ARTIFACT,
    UNSUPPORTED_OPERATION,
)

MODEL = bytes(range(256)) * 4000


@pytest.fixture(scope="module")
def served() -> Iterator[Registry]:
    with registry.serving() as running:
        yield running


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "pushed"
    (folder / "1").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(MODEL)
    (folder / "1" / "weights.data").write_bytes(MODEL[:5000])
    return folder


def docker_config(host: str, **entry: str) -> str:
    return json.dumps({"auths": {host: entry or {"username": USER, "password": PASSWORD}}})


def access(server: Registry, secret: dict[str, str] | None = None, *hosts: str) -> Access:
    """Access to the registry with a Secret; by default the right login for it."""
    if secret is None:
        secret = {".dockerconfigjson": docker_config(server.host)}
    return Access(
        hosts=HostPolicy.of(server.host, *hosts),
        credentials=Credentials.from_mapping({**secret, "ca.crt": server.ca_text}),
        idle_seconds=5,
    )


async def pull(reach: Access, uri: str, to: Path, **options: object) -> Download:
    async with Storage(reach) as storage:
        return await storage.download(uri, to, **options)  # type: ignore[arg-type]


async def refusal(reach: Access, uri: str, to: Path, **options: object) -> StorageError:
    with pytest.raises(StorageError) as caught:
        await pull(reach, uri, to, **options)
    assert left_in(to) == []
    assert PASSWORD not in str(caught.value)
    return caught.value


def tar(*members: tuple[str, bytes | str], packed: bool = True) -> bytes:
    """A layer of files (bytes) and symbolic links (str)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0) if packed else out.getvalue()


async def test_files_arrive_and_the_digest_is_the_manifests(
    served: Registry, source: Path, tmp_path: Path
) -> None:
    pushed = served.push("files/m:v1", source, "model.onnx", "1/weights.data")
    for name in ("files/m:v1", f"files/m@sha256:{pushed}", f"files/m:v1@sha256:{pushed}"):
        found = await pull(access(served), f"oci://{served.host}/{name}", tmp_path / "out")
        assert (found.kind, found.digest) == (Kind.FOLDER, pushed)
        assert found.files == tuple(
            file_digest(source / each, each) for each in ("1/weights.data", "model.onnx")
        )
        assert left_in(tmp_path / "out") == ["1/weights.data", "model.onnx"]
        assert not has_layers(tmp_path / "out")


async def test_a_tag_that_moved_does_not_change_what_is_pinned(
    served: Registry, source: Path, tmp_path: Path
) -> None:
    first = served.push("moved/m:latest", source, "model.onnx")
    (source / "model.onnx").write_bytes(b"another model")
    second = served.push("moved/m:latest", source, "model.onnx")
    uri = f"oci://{served.host}/moved/m"  # no tag: latest
    assert (await pull(access(served), uri, tmp_path / "new")).digest == second
    found = await pull(access(served), uri, tmp_path / "old", digest=f"sha256:{first}")
    assert found.digest == first
    assert (tmp_path / "old" / "model.onnx").read_bytes() == MODEL


async def test_two_digests_that_differ(served: Registry, source: Path, tmp_path: Path) -> None:
    pushed = served.push("two/m:v1", source, "model.onnx")
    uri = f"oci://{served.host}/two/m@sha256:{pushed}"
    error = await refusal(access(served), uri, tmp_path / "out", digest="0" * 64)
    assert error.reason == DIGEST_MISMATCH


async def test_a_folder_that_was_pushed_as_one(
    served: Registry, source: Path, tmp_path: Path
) -> None:
    served.push("folder/m:v1", source, "model.onnx", "1")
    await pull(access(served), f"oci://{served.host}/folder/m:v1", tmp_path / "out")
    assert has_layers(tmp_path / "out")
    assemble(tmp_path / "out", tmp_path / "model", ArchiveLimits())
    assert left_in(tmp_path / "model") == ["1/weights.data", "model.onnx"]
    assert (tmp_path / "model" / "1" / "weights.data").read_bytes() == MODEL[:5000]


async def test_an_image_gives_its_models_without_the_base_systems_links(
    served: Registry, tmp_path: Path
) -> None:
    base = tar(("bin/sh", "busybox"), ("bin/busybox", b"\x7fELF"), ("etc/passwd", b"root"))
    old = tar(("models/model.onnx", b"old"), ("models/gone.bin", b"x"), ("models/d/a", b"a"))
    new = tar(
        *(("models/model.onnx", MODEL), ("models/.wh.gone.bin", b"")),
        *(("models/d/.wh..wh..opq", b""), ("models/d/b", b"b")),
        packed=False,
    )
    layers = [
        (base, {"mediaType": f"{TAR}+gzip"}),
        (old, {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip"}),
        (new, {"mediaType": TAR}),
    ]
    served.push_manifest("image/m:v1", tmp_path, layers)
    await pull(access(served), f"oci://{served.host}/image/m:v1", tmp_path / "out")
    assemble(tmp_path / "out", tmp_path / "model", ArchiveLimits())
    assert left_in(tmp_path / "model") == ["d/b", "model.onnx"]
    assert (tmp_path / "model" / "model.onnx").read_bytes() == MODEL


async def test_an_index_leads_to_its_only_image(
    served: Registry, source: Path, tmp_path: Path
) -> None:
    served.push("index/m:v1", source, "model.onnx")
    served.push("index/m:v2", source, "1/weights.data")
    for name, members in (("one", ["v1"]), ("two", ["v1", "v2"])):
        served.oras(
            "manifest", "index", "create", f"{served.host}/index/m:{name}", *members, cwd=tmp_path
        )
    found = await pull(access(served), f"oci://{served.host}/index/m:one", tmp_path / "out")
    assert found.digest == served.digest("index/m:one", tmp_path)
    assert left_in(tmp_path / "out") == ["model.onnx"]
    error = await refusal(access(served), f"oci://{served.host}/index/m:two", tmp_path / "two")
    assert error.reason == UNSUPPORTED_ARTIFACT


LOGINS = {
    "none": ({}, ACCESS_DENIED, "create secret docker-registry"),
    "wrong": (
        {".dockerconfigjson": "HOST:wrong"},
        ACCESS_DENIED,
        "may not pull",
    ),
    "of another registry": (
        {".dockerconfigjson": docker_config("ghcr.io")},
        ACCESS_DENIED,
        "logins for ghcr.io, and none for this",
    ),
    "no Docker configuration": (
        {".dockerconfigjson": "{}"},
        INVALID_CREDENTIALS,
        "docker-registry",
    ),
}


@pytest.mark.parametrize("case", LOGINS)
async def test_logins_that_do_not_fit(
    served: Registry, source: Path, tmp_path: Path, case: str
) -> None:
    served.push("login/m:v1", source, "model.onnx")
    secret, reason, words = LOGINS[case]
    if case == "wrong":
        secret = {".dockerconfigjson": docker_config(served.host, username=USER, password="no")}
    with pytest.raises(StorageError, match=words) as caught:
        await pull(access(served, secret), f"oci://{served.host}/login/m:v1", tmp_path / "out")
    assert caught.value.reason == reason
    assert not (tmp_path / "out").exists()


async def test_user_and_password_in_the_keys_of_https(
    served: Registry, source: Path, tmp_path: Path
) -> None:
    pushed = served.push("keys/m:v1", source, "model.onnx")
    keys = {"HTTP_USERNAME": USER, "HTTP_PASSWORD": PASSWORD}
    uri = f"oci://{served.host}/keys/m:v1"
    assert (await pull(access(served, keys), uri, tmp_path / "out")).digest == pushed


async def test_what_is_not_there_or_not_allowed(
    served: Registry, source: Path, tmp_path: Path
) -> None:
    served.push("there/m:v1", source, "model.onnx")
    for name in ("there/m:v2", "nowhere/m:v1", "there/m@sha256:" + "0" * 64):
        error = await refusal(access(served), f"oci://{served.host}/{name}", tmp_path / "out")
        assert error.reason == SOURCE_NOT_FOUND
    error = await refusal(access(served), "oci://ghcr.io/there/m:v1", tmp_path / "out")
    assert error.reason == HOST_NOT_ALLOWED
    async with Storage(access(served)) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.put_bytes(b"x", f"oci://{served.host}/there/m:v1")
    assert caught.value.reason in {UNSUPPORTED_OPERATION, "InvalidUri"}


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(max_bytes=len(MODEL) - 1), SOURCE_TOO_LARGE),
        (Limits(max_files=1), TOO_MANY_FILES),
        (Limits(room=1000), "NoSpaceLeft"),
    ],
    ids=["bytes", "files", "room"],
)
async def test_caps(
    served: Registry, source: Path, tmp_path: Path, limits: Limits, reason: str
) -> None:
    served.push("caps/m:v1", source, "model.onnx", "1/weights.data")
    uri = f"oci://{served.host}/caps/m:v1"
    assert (await refusal(access(served), uri, tmp_path / "out", limits=limits)).reason == reason


async def test_a_layer_that_leads_out_of_its_folder(served: Registry, tmp_path: Path) -> None:
    members: list[tuple[str, bytes | str]] = [
        ("../out.onnx", b"x"),
        ("models/m.onnx", "/etc/passwd"),
    ]
    for number, member in enumerate(members):
        layer = (tar(member), {"mediaType": f"{TAR}+gzip"})
        served.push_manifest(f"evil/m:v{number}", tmp_path, [layer])
        folder = tmp_path / f"out{number}"
        await pull(access(served), f"oci://{served.host}/evil/m:v{number}", folder)
        with pytest.raises(StorageError) as caught:
            assemble(folder, tmp_path / f"model{number}", ArchiveLimits())
        assert caught.value.reason == ARCHIVE_UNSAFE
    assert not (tmp_path / "out.onnx").exists()


class TokenService:
    """A token service on the HTTPS server, whose tokens a real registry checks."""

    def __init__(self, https: Https, key: TokenKey) -> None:
        self.https, self.key = https, key
        self.scopes: list[str] = []
        https.handlers["/token"] = self.answer

    def answer(self, request: web.Request) -> web.StreamResponse:
        self.scopes.append(request.query["scope"])
        assert request.query["service"] == TokenKey.SERVICE
        if request.headers.get("Authorization") is None:
            return web.json_response({}, status=401)
        return web.json_response(
            {"token": self.key.token(request.query["scope"], int(time.time()))}
        )


@pytest.fixture
def token_service(https: Https) -> TokenService:
    return TokenService(https, TokenKey())


async def test_a_registry_with_a_token_service(
    token_service: TokenService, https: Https, source: Path, tmp_path: Path
) -> None:
    settings = token_service.key.settings(https.url("token"), tmp_path)
    with registry.serving(auth=settings) as server:
        both = server.ca_text + https.ca
        secret = {".dockerconfigjson": docker_config(server.host)}
        credentials = Credentials.from_mapping({**secret, "ca.crt": both})
        server.ca.write_text(both)
        pushed = await asyncio.to_thread(
            server.push, "token/m:v1", source, "model.onnx", "1/weights.data"
        )
        token_service.scopes.clear()
        uri = f"oci://{server.host}/token/m:v1"
        reach = Access(
            hosts=HostPolicy.of(server.host, f"localhost:{https.port}"), credentials=credentials
        )
        assert (await pull(reach, uri, tmp_path / "out")).digest == pushed
        assert token_service.scopes == ["repository:token/m:pull"]  # once, and no more than that
        # The same registry, and a pool that does not list the token service.
        asked = len(https.asked)
        narrow = Access(hosts=HostPolicy.of(server.host), credentials=credentials)
        error = await refusal(narrow, uri, tmp_path / "narrow")
        assert error.reason == HOST_NOT_ALLOWED
        assert "token service on host 'localhost'" in error.message
        assert "spec.converter.allowedHosts" in error.message
        assert len(https.asked) == asked


async def test_layers_that_the_registry_keeps_in_an_object_store(
    source: Path, tmp_path: Path
) -> None:
    made = certificate.made("localhost", "127.0.0.1")
    (tmp_path / "s3.crt").write_text(made.certificate)
    (tmp_path / "s3.key").write_text(made.key)
    with s3.serving(tls=(tmp_path / "s3.crt", tmp_path / "s3.key")) as store:
        store.bucket("layers")
        keys = {"accesskey": store.access_key, "secretkey": store.secret_key}
        place = {"bucket": "layers", "region": store.region, "regionendpoint": store.endpoint}
        driver = {**keys, **place, "forcepathstyle": True, "skipverify": True}
        with registry.serving(storage={"s3": driver}) as server:
            pushed = server.push("stored/m:v1", source, "model.onnx")
            secret = {
                ".dockerconfigjson": docker_config(server.host),
                "ca.crt": server.ca_text + made.certificate,
            }
            credentials = Credentials.from_mapping(secret)
            uri, host = f"oci://{server.host}/stored/m:v1", store.endpoint.removeprefix("https://")
            open_ = Access(hosts=HostPolicy.of(server.host, host), credentials=credentials)
            assert (await pull(open_, uri, tmp_path / "out")).digest == pushed
            assert (tmp_path / "out" / "model.onnx").read_bytes() == MODEL
            narrow = Access(hosts=HostPolicy.of(server.host), credentials=credentials)
            error = await refusal(narrow, uri, tmp_path / "narrow")
            assert error.reason == HOST_NOT_ALLOWED
            assert "redirects to host 127.0.0.1" in error.message
            assert "spec.converter.allowedHosts" in error.message
            assert "Signature" not in str(error)
