"""The subjects of conformance: a real agent beside a real Triton, and the agent's double."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.integration.agent import harness
from tests.support import agent_double
from tests.support import triton as triton_process

from tightship.api.agent import ModelAssignment, ServingConfig


@dataclass(frozen=True)
class Subject:
    """Something that answers as an agent does, empty, and an artifact that it can load."""

    client: harness.AgentClient
    published: harness.Published

    def model(self, name: str, *, instances: int = 1) -> ModelAssignment:
        return self.published.as_model(name, ServingConfig(instances=instances))


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("agent")


@pytest.fixture(scope="module")
def agent(volumes: Path) -> Iterator[harness.Agent]:
    repository = volumes / "models"
    repository.mkdir()
    store = harness.file_store(volumes)
    with (
        triton_process.serving(repository, *harness.SERVER_FLAGS) as server,
        harness.agent(volumes, store, server) as running,
    ):
        yield running


@pytest.fixture
async def real(agent: harness.Agent, volumes: Path) -> AsyncIterator[Subject]:
    store = harness.file_store(volumes)
    async with agent.client() as client:
        await client.assign()
        await client.until(lambda state: not state.models and state.ready)
        yield Subject(client, await store.publish(2.0))


@pytest.fixture
async def double(tmp_path: Path) -> AsyncIterator[Subject]:
    harness.write_secret(tmp_path)
    certificate, key = ((tmp_path / name).read_text() for name in ("tls.crt", "tls.key"))
    context = agent_double.tls(certificate, key, tmp_path)
    answering = agent_double.AgentDouble(harness.TOKEN)
    async with agent_double.serving(answering, context, "127.0.0.1", 0) as port:
        url = f"https://127.0.0.1:{port}"
        async with harness.AgentClient(url, tmp_path / "tls.crt") as client:
            yield Subject(client, harness.Published("a" * 64, "d" * 64, None))


@pytest.fixture(params=["real", "double"])
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.getfixturevalue(request.param)
    return found
