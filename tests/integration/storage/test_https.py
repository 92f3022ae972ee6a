"""Reading from a real HTTPS server that behaves badly in every way we know."""

import asyncio
import hashlib
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from tests.integration.storage.conftest import Https, left_in

from tightship.storage import Access, Credentials, HostPolicy, Kind, Limits, Storage, StorageError
from tightship.storage.errors import (
    ACCESS_DENIED,
    CERTIFICATE_NOT_TRUSTED,
    DIGEST_MISMATCH,
    HOST_NOT_ALLOWED,
    INVALID_RESPONSE,
    INVALID_URI,
    NO_SPACE_LEFT,
    REDIRECT_REFUSED,
    SOURCE_NOT_FOUND,
    SOURCE_TOO_LARGE,
    SOURCE_UNREACHABLE,
    TIMED_OUT,
    UNSUPPORTED_OPERATION,
)

CONTENT = bytes(range(256)) * 8000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


async def test_a_file_arrives_with_its_digest(
    https: Https, web_storage: Storage, tmp_path: Path
) -> None:
    https.handlers["/models/m.onnx"] = lambda _: web.Response(body=CONTENT)
    found = await web_storage.download(https.url("models/m.onnx?sig=x"), tmp_path, digest=DIGEST)
    assert found.kind is Kind.FILE
    assert found.digest == DIGEST
    assert found.bytes == len(CONTENT)
    assert (tmp_path / "m.onnx").read_bytes() == CONTENT
    assert left_in(tmp_path) == ["m.onnx"]
    assert https.asked[-1].query_string == "sig=x"
    assert https.asked[-1].headers["Authorization"] == "Bearer canary-token"


@pytest.mark.parametrize(
    ("status", "reason", "retryable"),
    [
        (401, ACCESS_DENIED, False),
        (403, ACCESS_DENIED, False),
        (404, SOURCE_NOT_FOUND, False),
        (418, INVALID_RESPONSE, False),
        (503, SOURCE_UNREACHABLE, True),
    ],
)
async def test_refusals_have_a_reason_and_no_secret(
    https: Https, web_storage: Storage, tmp_path: Path, status: int, reason: str, *, retryable: bool
) -> None:
    https.handlers["/m"] = lambda _: web.Response(status=status, text="canary-body")
    with pytest.raises(StorageError) as caught:
        await web_storage.download(https.url("m?X-Signature=canary"), tmp_path)
    assert (caught.value.reason, caught.value.retryable) == (reason, retryable)
    assert "canary" not in str(caught.value)
    assert left_in(tmp_path) == []
    if retryable:
        assert len(https.asked) > 1


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("target", ["http://169.254.169.254/latest/meta-data/", "/elsewhere"])
async def test_redirects_are_refused_and_never_followed(
    https: Https, web_storage: Storage, tmp_path: Path, status: int, target: str
) -> None:
    https.handlers["/m"] = lambda _: web.Response(status=status, headers={"Location": target})
    with pytest.raises(StorageError) as caught:
        await web_storage.download(https.url("m"), tmp_path)
    assert caught.value.reason == REDIRECT_REFUSED
    assert ("169.254.169.254" if "169" in target else "localhost") in caught.value.message
    assert [request.path for request in https.asked] == ["/m"]


async def test_a_server_that_recovers_is_asked_again(
    https: Https, web_storage: Storage, tmp_path: Path
) -> None:
    def answer(_: web.Request) -> web.Response:
        return web.Response(status=503) if len(https.asked) <= 2 else web.Response(body=CONTENT)

    https.handlers["/m"] = answer
    assert (await web_storage.download(https.url("m"), tmp_path)).digest == DIGEST


async def test_a_truncated_body_is_noticed_and_nothing_stays(
    https: Https, web_storage: Storage, tmp_path: Path
) -> None:
    async def broken(request: web.Request) -> AsyncIterator[bytes]:
        yield CONTENT[:1000]
        assert request.transport is not None
        request.transport.abort()

    https.handlers["/m"] = broken
    with pytest.raises(StorageError) as caught:
        await web_storage.download(https.url("m"), tmp_path)
    assert caught.value.reason == SOURCE_UNREACHABLE
    assert caught.value.retryable
    assert left_in(tmp_path) == []


async def test_a_silent_server_times_out(https: Https, tmp_path: Path) -> None:
    async def silent(_: web.Request) -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.Event().wait()

    https.handlers["/m"] = silent
    access = Access(
        hosts=HostPolicy.of("localhost"), credentials=Credentials(ca=https.ca), idle_seconds=0.2
    )
    async with Storage(access) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.download(https.url("m"), tmp_path)
    assert caught.value.reason == TIMED_OUT
    assert caught.value.retryable


async def test_a_trickle_ends_at_the_time_limit(
    https: Https, web_storage: Storage, tmp_path: Path
) -> None:
    async def trickle(_: web.Request) -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.05)

    https.handlers["/m"] = trickle
    with pytest.raises(StorageError) as caught:
        await web_storage.download(https.url("m"), tmp_path, limits=Limits(max_seconds=0.5))
    assert caught.value.reason == TIMED_OUT
    assert left_in(tmp_path) == []


async def test_a_wrong_digest_leaves_nothing(
    https: Https, web_storage: Storage, tmp_path: Path
) -> None:
    https.handlers["/m"] = lambda _: web.Response(body=CONTENT)
    with pytest.raises(StorageError) as caught:
        await web_storage.download(https.url("m"), tmp_path, digest="sha256:" + "0" * 64)
    assert caught.value.reason == DIGEST_MISMATCH
    assert DIGEST in caught.value.message
    assert left_in(tmp_path) == []


async def test_an_announced_size_above_the_limit_is_refused_before_the_body(
    https: Https, web_storage: Storage, tmp_path: Path
) -> None:
    https.handlers["/m"] = lambda _: web.Response(body=CONTENT)
    with pytest.raises(StorageError) as caught:
        await web_storage.download(https.url("m"), tmp_path, limits=Limits(max_bytes=1000))
    assert caught.value.reason == SOURCE_TOO_LARGE
    assert {request.method for request in https.asked} == {"HEAD"}


async def test_an_endless_body_without_a_size_is_cut_off(
    https: Https, web_storage: Storage, tmp_path: Path
) -> None:
    async def endless(_: web.Request) -> AsyncIterator[bytes]:
        while True:
            yield bytes(1 << 16)
            await asyncio.sleep(0)  # client and server share the loop

    https.handlers["/m"] = endless
    with pytest.raises(StorageError) as caught:
        await web_storage.download(https.url("m"), tmp_path, limits=Limits(max_bytes=1 << 20))
    assert caught.value.reason == SOURCE_TOO_LARGE
    assert left_in(tmp_path) == []


async def test_a_packed_body_is_refused(https: Https, web_storage: Storage, tmp_path: Path) -> None:
    https.handlers["/m"] = lambda _: web.Response(
        body=CONTENT, headers={"Content-Encoding": "gzip"}
    )
    with pytest.raises(StorageError) as caught:
        await web_storage.download(https.url("m"), tmp_path)
    assert caught.value.reason == INVALID_RESPONSE
    assert https.asked[-1].headers["Accept-Encoding"] == "identity"


async def test_an_untrusted_certificate_is_refused(https: Https, tmp_path: Path) -> None:
    async with Storage(Access(hosts=HostPolicy.of("localhost"))) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.download(https.url("m"), tmp_path)
    assert caught.value.reason == CERTIFICATE_NOT_TRUSTED
    assert "ca.crt" in caught.value.message
    assert https.asked == []


async def test_s3_verifyssl_does_not_weaken_https(https: Https, tmp_path: Path) -> None:
    credentials = Credentials.from_mapping({"S3_VERIFY_SSL": "0"})
    access = Access(hosts=HostPolicy.of("localhost"), credentials=credentials)
    async with Storage(access) as storage:
        with pytest.raises(StorageError) as caught:
            await storage.download(https.url("m"), tmp_path)
    assert caught.value.reason == CERTIFICATE_NOT_TRUSTED


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_other_spellings_of_the_host_are_refused_before_connecting(
    https: Https, web_storage: Storage, tmp_path: Path, host: str
) -> None:
    with pytest.raises(StorageError) as caught:
        await web_storage.download(f"https://{host}:{https.port}/m", tmp_path)
    assert caught.value.reason == HOST_NOT_ALLOWED
    assert https.asked == []


async def test_a_listed_address_is_reached_in_any_spelling(https: Https, tmp_path: Path) -> None:
    https.handlers["/m"] = lambda _: web.Response(body=CONTENT)
    access = Access(hosts=HostPolicy.of("127.0.0.1"), credentials=Credentials(ca=https.ca))
    async with Storage(access) as storage:
        found = await storage.download(f"https://2130706433:{https.port}/m", tmp_path)
    assert found.digest == DIGEST


async def test_a_proxy_in_the_environment_is_not_used(
    https: Https, web_storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    https.handlers["/m"] = lambda _: web.Response(body=CONTENT)
    assert (await web_storage.download(https.url("m"), tmp_path)).digest == DIGEST


async def test_a_port_without_a_server_may_be_tried_again(
    https: Https, web_storage: Storage, tmp_path: Path
) -> None:
    port = https.port
    plain = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = plain.sockets[0].getsockname()[1]
    plain.close()
    await plain.wait_closed()
    with pytest.raises(StorageError) as caught:
        await web_storage.download(f"https://localhost:{port}/m", tmp_path)
    assert caught.value.reason == SOURCE_UNREACHABLE
    assert caught.value.retryable


async def test_a_server_that_does_not_speak_http(
    https: Https, server_certificate: tuple[Path, str], web_storage: Storage, tmp_path: Path
) -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ftp ready\r\n\r\n")
        await writer.drain()
        writer.close()

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(server_certificate[0])
    server = await asyncio.start_server(babble, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(StorageError) as caught:
        await web_storage.download(f"https://localhost:{port}/m", tmp_path)
    server.close()
    assert caught.value.reason == INVALID_RESPONSE
    assert https.asked == []


async def test_https_names_files_and_is_read_only(
    https: Https, web_storage: Storage, tmp_path: Path
) -> None:
    with pytest.raises(StorageError) as caught:
        await web_storage.download(https.url("folder/"), tmp_path)
    assert caught.value.reason == INVALID_URI
    with pytest.raises(StorageError) as caught:
        await web_storage.put_bytes(b"x", https.url("m"))
    assert caught.value.reason == UNSUPPORTED_OPERATION


@pytest.mark.parametrize("told", [True, False], ids=["by its length", "while it arrives"])
async def test_a_file_that_does_not_fit_the_volume(
    https: Https, web_storage: Storage, tmp_path: Path, *, told: bool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(CONTENT), 4096):
            yield CONTENT[start : start + 4096]

    https.handlers["/m"] = lambda _: web.Response(body=CONTENT) if told else pieces()
    with pytest.raises(StorageError, match="scratchSize") as caught:
        await web_storage.download(https.url("m"), tmp_path, limits=Limits(room=len(CONTENT) - 1))
    assert caught.value.reason == NO_SPACE_LEFT
    assert not left_in(tmp_path)
    assert ("GET" in {request.method for request in https.asked}) != told


NO_SPACE = """
import asyncio, pathlib, resource, sys
from tightship.storage import Access, Storage, StorageError, run
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
async def main():
    async with Storage(Access(allow_file=True)) as storage:
        await storage.download(sys.argv[1], pathlib.Path(sys.argv[2]))
try:
    run(main())
except StorageError as error:
    print(error.reason, list(pathlib.Path(sys.argv[2]).iterdir()))
"""


def test_a_full_volume(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(CONTENT)
    command = [sys.executable, "-B", "-c", NO_SPACE, f"file://{tmp_path}/m", str(tmp_path / "out")]
    source = str(Path(__file__).parents[3] / "operator")
    done = subprocess.run(
        command, env={"PYTHONPATH": source}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"{NO_SPACE_LEFT} []"
