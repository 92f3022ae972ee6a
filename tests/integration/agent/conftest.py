"""A Triton of its own for each test, since tests of the agent kill it; an agent beside it."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from tests.integration.agent import harness
from tests.support import triton as triton_process


@pytest.fixture
def server(tmp_path: Path) -> Iterator[triton_process.Triton]:
    """A Triton with the flags of a server pod."""
    repository = tmp_path / "models"
    repository.mkdir()
    traces = harness.traces_of(repository)
    traces.mkdir()
    flags = (f"--trace-config=triton,file={traces}/trace", *harness.TRACES_OFF)
    with triton_process.serving(repository, *harness.SERVER_FLAGS, *flags) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> harness.Store:
    """An artifact store in a folder."""
    return harness.file_store(tmp_path)


@pytest.fixture
def agent(
    tmp_path: Path, store: harness.Store, server: triton_process.Triton
) -> Iterator[harness.Agent]:
    """An agent that has just started on an empty server."""
    with harness.agent(tmp_path, store, server) as running:
        yield running


@pytest.fixture
async def operator(agent: harness.Agent) -> AsyncIterator[harness.AgentClient]:
    """The operator's side of the agent's API."""
    async with agent.client() as client:
        yield client
