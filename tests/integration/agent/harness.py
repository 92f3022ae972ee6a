"""Real agents for tests: tiny models in a store, an agent process, a client of its API."""

import asyncio
import os
import shutil
import signal
import ssl
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import aiohttp
import numpy as np
import onnx
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from onnx import TensorProto, helper
from tests.support import triton as triton_process
from tests.support.process import Process, answers, free_ports

from tightship.api.agent import (
    Assignment,
    AssignmentRequest,
    Fence,
    HeldModel,
    LoadState,
    ModelAssignment,
    ServerState,
    ServingConfig,
)
from tightship.drift.reference import REFERENCE, Reference
from tightship.storage import Access, Credentials, HostPolicy, Storage, write_manifest
from tightship.triton.client import TritonClient

TOKEN = "test-token"
TRITON_KEY = "test-triton-key"
SERVER_NAME = "pool-test.default.tightship.internal"
MIB = 1 << 20
_RESTRICTED = f"model-repository,shared-memory,trace,logging,statistics:tightship-key={TRITON_KEY}"
SERVER_FLAGS = (
    "--cache-config=local,size=16777216",
    f"--http-restricted-api={_RESTRICTED}",
    "--load-model=*",
    "--exit-on-error=false",
)
TRACES_OFF = ("--trace-config=level=OFF", "--trace-config=count=0")
_START_SECONDS = 30
_WAIT_SECONDS = 60

CONFIG = """
backend: "onnxruntime"
max_batch_size: 8
input [{ name: "x" data_type: TYPE_FP32 dims: [4] }]
output [{ name: "y" data_type: TYPE_FP32 dims: [4] }]
"""


def traces_of(repository: Path) -> Path:
    """The folder in which the Triton of this repository leaves traces."""
    return repository.parent / "traces"


def scaling_model(factor: float) -> bytes:
    """An ONNX model that multiplies its input by a constant."""
    shape: list[int | str] = ["batch", 4]
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "factor"], ["y"])],
        "scale",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [helper.make_tensor("factor", TensorProto.FLOAT, [1], [factor])],
    )
    opset = [helper.make_opsetid("", 17)]
    model: onnx.ModelProto = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return model.SerializeToString()


@dataclass(frozen=True)
class Published:
    """An artifact in a store."""

    key: str
    digest: str
    folder: Path | None  # in the store, where it is a folder

    def as_model(
        self, name: str, config: ServingConfig | None = None, *, memory: int = 80 * MIB
    ) -> ModelAssignment:
        return ModelAssignment(
            name=name,
            key=self.key,
            digest=self.digest,
            memory=memory,
            config=config or ServingConfig(),
        )


@dataclass(frozen=True)
class Store:
    """A store that tests publish into; credentials are the files of its Secret."""

    uri: str
    access: Access
    scratch: Path
    credentials: Mapping[str, str] = field(default_factory=dict)

    async def publish(
        self,
        factor: float = 2.0,
        *,
        golden_factor: float | None = None,
        model: bytes | None = None,
        model_file: str = "model.onnx",
        config: str = CONFIG,
        key: str = "a" * 64,
        reference: Reference | None = None,
    ) -> Published:
        """Publishes a model that multiplies by `factor`, or is what the arguments say instead."""
        folder = self.scratch / f"artifact-{time.monotonic_ns()}"
        (folder / "model" / "1").mkdir(parents=True)
        (folder / "model" / "1" / model_file).write_bytes(model or scaling_model(factor))
        (folder / "model" / "config.pbtxt").write_text(config)
        inputs = np.arange(20, dtype=np.float32).reshape(5, 4)
        outputs = inputs * np.float32(factor if golden_factor is None else golden_factor)
        arrays: dict[str, Any] = {"in/x": inputs, "out/y": outputs}
        np.savez(folder / "golden.npz", **arrays)
        if reference is not None:
            (folder / REFERENCE).write_text(reference.to_json())
        write_manifest(folder, {"golden": {"rtol": 1e-3, "atol": 1e-3}})
        uri = f"{self.uri}/sha256/{key}/"

        async with Storage(self.access) as storage:
            publication = await storage.publish(folder, uri)
        digest, target = publication.digest, publication.uri
        shutil.rmtree(folder)
        local = Path(target.removeprefix("file://")) if target.startswith("file://") else None
        return Published(key=key, digest=digest, folder=local)


def file_store(folder: Path) -> Store:
    """A store in a local folder."""
    (folder / "store").mkdir(exist_ok=True)
    return Store(f"file://{folder}/store", Access(allow_file=True), folder)


def s3_store(endpoint: str, bucket: str, credentials: Mapping[str, str], scratch: Path) -> Store:
    """A store in a bucket; `endpoint` is a URL."""
    host = endpoint.partition("://")[2]
    access = Access(
        hosts=HostPolicy.of(host), credentials=Credentials.from_mapping(dict(credentials))
    )
    return Store(f"s3://{bucket}/artifacts", access, scratch, credentials)


def write_secret(folder: Path, *, token: str = TOKEN) -> None:
    """Files of the pool's Secret: a self-signed certificate, the token and the Triton key."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pool-test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(SERVER_NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    files = {
        "tls.key": private,
        "tls.crt": certificate.public_bytes(serialization.Encoding.PEM),
        "token": token.encode(),
        "triton-key": TRITON_KEY.encode(),
    }
    for filename, content in files.items():
        unnamed = folder / f".{filename}"
        unnamed.write_bytes(content)
        unnamed.rename(folder / filename)


class AgentClient:
    """A client of one agent, as the operator is: pinned certificate, bearer token."""

    def __init__(self, url: str, certificate: Path, token: str = TOKEN) -> None:
        self.url = url
        self._certificate = certificate
        self._headers = {"Authorization": f"Bearer {token}"}
        self._counter = 0

    async def __aenter__(self) -> Self:
        context = ssl.create_default_context(cafile=str(self._certificate))
        connector = aiohttp.TCPConnector(ssl=context)
        self._session = aiohttp.ClientSession(connector=connector)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        **options: Any,  # noqa: ANN401 (aiohttp's)
    ) -> tuple[int, Mapping[str, str], Any]:
        """Status, headers and body: JSON where it is JSON, else text, None where empty."""
        async with self._session.request(
            method,
            self.url + path,
            headers={**self._headers, **(headers or {})},
            server_hostname=SERVER_NAME,
            **options,
        ) as response:
            text = await response.text()
            body = await response.json() if response.content_type == "application/json" else text
            return response.status, response.headers, body or None

    async def state(self) -> ServerState:
        status, _, body = await self.request("GET", "/v1/state")
        assert status == 200
        return ServerState.from_json(body)

    async def assign(self, *models: ModelAssignment, fence: Fence | None = None) -> ServerState:
        """Replaces the assignment, whatever it was, with the next fence."""
        held = (await self.state()).fence
        wanted = AssignmentRequest(
            fence=fence or Fence(held.transitions, held.counter + 1),
            assignment=Assignment(tuple(sorted(models, key=lambda model: model.name))),
        )
        status, _, body = await self.request(
            "PUT", "/v1/assignment", json=wanted.to_json(), headers={"If-Match": "*"}
        )
        assert status == 200, body
        return ServerState.from_json(body)

    async def until(
        self, wanted: Callable[[ServerState], bool], seconds: float = _WAIT_SECONDS
    ) -> ServerState:
        """The first state that is as wanted, by long polls."""
        state, etag = None, "none"
        async with asyncio.timeout(seconds):
            while state is None or not wanted(state):
                try:
                    status, headers, body = await self.request(
                        "GET",
                        "/v1/state",
                        headers={"If-None-Match": etag, "Prefer": "wait=5"},
                    )
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)
                    continue
                if status == 200:
                    state, etag = ServerState.from_json(body), headers["ETag"]
        return state

    async def until_loaded(self, *models: ModelAssignment) -> ServerState:
        """The first state in which all these are served as assigned."""
        return await self.until(lambda state: all(serves(state, model) for model in models))

    async def until_failed(self, name: str) -> HeldModel:
        """The model once its target has failed."""
        state = await self.until(lambda state: held(state, name).failure is not None)
        return held(state, name)


def held(state: ServerState, name: str) -> HeldModel:
    """One model of a state; a pending one where the state has none of that name."""
    found = (model for model in state.models if model.name == name)
    return next(found, HeldModel(name=name, state=LoadState.PENDING))


def serves(state: ServerState, model: ModelAssignment) -> bool:
    """Whether exactly this is verified and served."""
    found = held(state, model.name)
    wanted = (LoadState.LOADED, model.digest, model.config)
    return (found.state, found.digest, found.config) == wanted


@dataclass
class Agent:
    """A running agent with its volumes."""

    process: Process
    api: str
    probes: str
    folder: Path
    secret: Path

    def client(self, token: str = TOKEN) -> AgentClient:
        return AgentClient(self.api, self.secret / "tls.crt", token)

    @property
    def ready(self) -> bool:
        return answers(f"{self.probes}/readyz")

    def child(self) -> int:
        """The pid of the agent below its supervisor."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return int(children.split()[0])

    def kill_child(self) -> None:
        os.kill(self.child(), signal.SIGKILL)


@contextmanager
def agent(
    folder: Path,
    store: Store,
    triton: triton_process.Triton,
    *,
    memory_limit: int = 2048 * MIB,
    restore_seconds: float = 60.0,
) -> Iterator[Agent]:
    """An agent process beside a Triton, its volumes below `folder`."""
    secrets = folder / "secrets"
    write_secret(secrets / "agent")
    if store.credentials:
        (secrets / "store").mkdir()
    for name, value in store.credentials.items():
        (secrets / "store" / name).write_text(value)
    state = folder / "state"
    state.mkdir(exist_ok=True)
    api, probes = free_ports(2)
    flags = {
        "models": triton.repository,
        "state": state,
        "secrets": secrets,
        "traces": traces_of(triton.repository),
        "triton": triton.http,
        "triton-metrics": triton.metrics,
        "api-port": api,
        "probe-port": probes,
        "restore-seconds": restore_seconds,
    }
    command = [sys.executable, "-W", "error", "-m", "tightship.agent.main"]
    env = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "TIGHTSHIP_STORE_URI": store.uri,
        "TIGHTSHIP_POOL": "test",
        "TIGHTSHIP_MEMORY_LIMIT": str(memory_limit),
        "POD_IP": "127.0.0.1",
    }
    process = Process(
        [*command, *(f"--{name}={value}" for name, value in flags.items())],
        folder / "agent.log",
        env,
    )
    url = f"http://127.0.0.1:{probes}"
    try:
        process.wait_ready(lambda: answers(f"{url}/livez"), _START_SECONDS)
        yield Agent(process, f"https://127.0.0.1:{api}", url, folder, secrets / "agent")
    finally:
        process.stop()
        sys.stdout.write(process.tail(200))  # shown by pytest when the test fails


@dataclass
class Traffic:
    """What a stream of requests saw."""

    answers: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@asynccontextmanager
async def traffic(
    triton: triton_process.Triton, model: str, clients: int = 4
) -> AsyncIterator[Traffic]:
    """Asks a model without pause from several clients; each answer is the model's factor."""
    seen = Traffic()
    stop = asyncio.Event()
    ones = {"x": np.ones((1, 4), np.float32)}

    async with TritonClient(triton.http) as client:

        async def ask() -> None:
            while not stop.is_set():
                try:
                    answer = await client.infer(model, ones)
                    seen.answers.append(float(answer["y"][0, 0]))
                except Exception as error:  # noqa: BLE001 (every failure counts, whatever it is)
                    seen.failures.append(repr(error))

        tasks = [asyncio.create_task(ask()) for _ in range(clients)]
        try:
            yield seen
        finally:
            stop.set()
            await asyncio.gather(*tasks)


async def factor(triton: triton_process.Triton, model: str) -> float:
    """What a served model multiplies by."""
    async with TritonClient(triton.http) as client:
        answer = await client.infer(model, {"x": np.ones((1, 4), np.float32)})
    return float(answer["y"][0, 0])
