"""A real HTTPS server with a certificate of its own, and storage with access to both servers."""

import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from aiohttp import web
from tests.support import certificate, gcs
from tests.support.gcs import Gcs
from tests.support.s3 import S3

from tightship.storage import Access, Credentials, HostPolicy, S3Settings, Storage


@dataclass
class Https:
    """The server: answers by path, and what it was asked."""

    port: int
    ca: str
    handlers: dict[str, Callable[[web.Request], "web.StreamResponse | AsyncIterator[bytes]"]]
    asked: list[web.Request] = field(default_factory=list)

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}/{path}"


@pytest.fixture(scope="session")
def server_certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    made = certificate.made("localhost", "127.0.0.1")
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_text(made.certificate + made.key)
    return path, made.certificate


@pytest.fixture
async def https(server_certificate: tuple[Path, str]) -> AsyncIterator[Https]:
    path, ca = server_certificate
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    server = Https(0, ca, {})

    async def answer(request: web.Request) -> web.StreamResponse:
        server.asked.append(request)
        made = server.handlers[request.path](request)
        if isinstance(made, web.StreamResponse):
            return made
        response = web.StreamResponse()
        await response.prepare(request)
        if request.method == "GET":
            async for chunk in made:
                await response.write(chunk)
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    server.port = runner.addresses[0][1]
    yield server
    await runner.cleanup()


@pytest.fixture
async def web_storage(https: Https) -> AsyncIterator[Storage]:
    credentials = Credentials(ca=https.ca, authorization="Bearer canary-token")
    access = Access(hosts=HostPolicy.of("localhost"), credentials=credentials, idle_seconds=2)
    async with Storage(access) as storage:
        yield storage


def left_in(folder: Path) -> list[str]:
    """What a refused download has left behind."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def s3_access(s3: S3, **changes: str) -> Access:
    settings = S3Settings(endpoint=s3.endpoint, region=s3.region)
    credentials = Credentials(
        access_key_id=changes.get("access_key_id", s3.access_key),
        secret_access_key=changes.get("secret_access_key", s3.secret_key),
        s3=settings,
    )
    return Access(
        hosts=HostPolicy.of("127.0.0.1"),
        credentials=credentials,
        allow_file=True,
    )


def gcs_access(server: Gcs, **secret: str) -> Access:
    values = {"STORAGE_EMULATOR_HOST": server.endpoint, "ca.crt": server.ca, **secret}
    credentials = Credentials.from_mapping(values)
    return Access(hosts=HostPolicy.of(server.host), credentials=credentials, idle_seconds=5)


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[Gcs]:
    """A server of Google Cloud Storage's API; each test uses a prefix of its own."""
    with gcs.serving("models") as running:
        yield running


@pytest.fixture
async def s3_storage(s3: S3) -> AsyncIterator[Storage]:
    async with Storage(s3_access(s3)) as storage:
        yield storage


@pytest.fixture
def bucket(s3: S3, request: pytest.FixtureRequest) -> str:
    """A bucket of the test's own, by its number among all."""
    name = f"storage-{abs(hash(request.node.nodeid)):x}"
    s3.bucket(name)
    return name
