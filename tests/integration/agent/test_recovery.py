"""What a killed Triton and a killed agent leave behind: everything back, without the operator."""

import asyncio
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import aiohttp
from tests.integration.agent import harness
from tests.integration.agent.harness import (
    CONFIG,
    SERVER_FLAGS,
    Agent,
    AgentClient,
    Store,
    factor,
    held,
    serves,
    traffic,
)
from tests.support import triton as triton_process
from tests.support.process import Process
from tests.support.triton import Triton

from tightship.api.agent import LoadState
from tightship.triton.metrics import parse

_DOUBLES = """
    def execute(self, requests):
        inputs = [pb.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        return [pb.InferenceResponse([pb.Tensor("y", x * 2)]) for x in inputs]
"""
_FRAGILE = """
from pathlib import Path
import triton_python_backend_utils as pb

class TritonPythonModel:
    def initialize(self, args):
        if not Path("MENDED").exists():
            raise pb.TritonModelException("not yet")
"""
_DEADLY = """
import os, signal
from pathlib import Path
import triton_python_backend_utils as pb

class TritonPythonModel:
    def initialize(self, args):
        if not Path("SEEN").exists():
            Path("SEEN").touch()
            os.kill(os.getppid(), signal.SIGKILL)
            os._exit(1)  # a container's processes end together
"""


def _ports(server: Triton) -> list[int]:
    return [
        int(address.rpartition(":")[2]) for address in (server.http, server.grpc, server.metrics)
    ]


@contextmanager
def restarting(server: Triton, folder: Path) -> Iterator[Process]:
    """Triton again, on the same ports and repository, as the kubelet restarts a container."""
    command = triton_process.command(
        triton_process.installed(), server.repository, _ports(server), SERVER_FLAGS
    )
    process = Process(command, folder / "again.log", triton_process.environment())
    try:
        yield process
    finally:
        process.stop()


@contextmanager
def restarted(server: Triton, folder: Path) -> Iterator[None]:
    """It, once it is ready."""
    with restarting(server, folder) as process:
        process.wait_ready(server.ready, 60)
        yield


async def test_everything_is_restored_after_triton_was_killed(
    agent: Agent, operator: AgentClient, store: Store, server: Triton, tmp_path: Path
) -> None:
    one = (await store.publish(2.0)).as_model("one")
    two = (await store.publish(3.0, key="b" * 64)).as_model("two")
    await operator.assign(one, two)
    await operator.until_loaded(one, two)
    server.process.kill()
    gone = await operator.until(lambda state: not state.triton_live)
    assert not gone.ready
    assert not agent.ready
    with restarted(server, tmp_path):
        state = await operator.until(
            lambda state: state.ready and serves(state, one) and serves(state, two)
        )
        assert state.restarts == 1
        assert (await factor(server, "one"), await factor(server, "two")) == (2.0, 3.0)


async def test_a_triton_that_starts_anew_never_says_that_it_has_no_such_model(
    operator: AgentClient, store: Store, server: Triton, tmp_path: Path
) -> None:
    model = (await store.publish(2.0)).as_model("model")
    await operator.assign(model)
    await operator.until_loaded(model)
    server.process.kill()
    with restarting(server, tmp_path):
        assert await _first_status(f"{server.url}/v2/models/model/ready") == 200
        state = await operator.until(lambda state: state.restarts == 1 and serves(state, model))
        assert held(state, "model").failure is None


async def _first_status(url: str) -> int:
    """The status of the first answer, once anybody listens."""
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        while True:
            try:
                async with session.get(url) as answer:
                    return answer.status
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.01)  # nobody tells that a port is open


async def test_what_a_new_triton_has_loaded_is_verified_before_it_counts(
    operator: AgentClient, store: Store, server: Triton, tmp_path: Path
) -> None:
    model = (await store.publish(2.0)).as_model("model")
    await operator.assign(model)
    await operator.until_loaded(model)
    server.process.kill()
    file = server.repository / "model" / "1" / "model.onnx"
    file.unlink()
    file.write_bytes(harness.scaling_model(5.0))
    with restarted(server, tmp_path):
        await operator.until(lambda state: state.restarts == 1 and serves(state, model))
        assert await factor(server, "model") == 2.0


async def test_a_model_under_which_triton_ended_is_not_what_the_next_one_begins_with(
    operator: AgentClient, store: Store, server: Triton, tmp_path: Path
) -> None:
    good = (await store.publish(2.0)).as_model("good")
    await operator.assign(good)
    await operator.until_loaded(good)
    source = (_DEADLY + _DOUBLES).replace("SEEN", str(tmp_path / "seen")).encode()
    config = CONFIG.replace("onnxruntime", "python")
    published = await store.publish(
        2.0, model=source, model_file="model.py", config=config, key="b" * 64
    )
    deadly = published.as_model("deadly")
    await operator.assign(good, deadly)
    await operator.until(
        lambda state: not state.triton_live and _links(server.repository) == ["good"]
    )
    with restarted(server, tmp_path):
        await operator.until(lambda state: serves(state, good) and serves(state, deadly))


def _links(repository: Path) -> list[str]:
    """What the next Triton would begin with."""
    return [path.name for path in repository.iterdir() if path.is_symlink()]


async def test_a_triton_that_stays_away_begins_with_nothing(
    store: Store, server: Triton, tmp_path: Path
) -> None:
    model = (await store.publish(2.0)).as_model("model")
    with harness.agent(tmp_path, store, server, restore_seconds=1.0) as brief:
        async with brief.client() as operator, asyncio.timeout(60):
            await operator.assign(model)
            await operator.until_loaded(model)
            server.process.kill()
            while (server.repository / "model").is_symlink():  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.05)
            with restarted(server, tmp_path):
                await operator.until(lambda state: state.restarts == 1 and serves(state, model))


async def test_what_was_refused_for_good_is_tried_again_in_another_triton(
    operator: AgentClient, store: Store, server: Triton, tmp_path: Path
) -> None:
    mended = tmp_path / "mended"
    source = (_FRAGILE + _DOUBLES).replace("MENDED", str(mended)).encode()
    config = CONFIG.replace("onnxruntime", "python")
    published = await store.publish(2.0, model=source, model_file="model.py", config=config)
    model = published.as_model("model")
    await operator.assign(model)
    await _until_failures(operator, 3)
    mended.touch()
    assert held(await operator.state(), "model").state is LoadState.FAILED
    server.process.kill()
    with restarted(server, tmp_path):
        await operator.until(lambda state: state.restarts == 1 and serves(state, model))


async def _until_failures(operator: AgentClient, count: int) -> None:
    """Waits until the only model has failed so often."""
    while True:
        state = await operator.state()
        _, _, page = await operator.request("GET", "/metrics")
        if parse(page).total("tightship_agent_failures_total") == count:
            return
        await operator.until(lambda now, before=state: now != before)  # type: ignore[misc]


async def test_artifacts_are_not_fetched_again(
    operator: AgentClient, store: Store, server: Triton, tmp_path: Path
) -> None:
    published = await store.publish(2.0)
    model = published.as_model("model")
    await operator.assign(model)
    await operator.until_loaded(model)
    assert published.folder is not None
    published.folder.rename(tmp_path / "store-is-away")
    server.process.kill()
    with restarted(server, tmp_path):
        await operator.until(lambda state: state.restarts == 1 and serves(state, model))


async def test_an_artifact_that_rotted_on_disk_is_fetched_again(
    operator: AgentClient, store: Store, server: Triton, tmp_path: Path
) -> None:
    model = (await store.publish(2.0)).as_model("model")
    await operator.assign(model)
    await operator.until_loaded(model)
    cached = tmp_path / "state" / "artifacts" / model.digest / "model" / "1" / "model.onnx"
    cached.unlink()
    cached.write_bytes(b"rotten")
    server.process.kill()
    with restarted(server, tmp_path):
        await operator.until(lambda state: state.restarts == 1 and serves(state, model))
        assert await factor(server, "model") == 2.0


async def test_a_killed_agent_comes_back_and_disturbs_nobody(
    agent: Agent, operator: AgentClient, store: Store, server: Triton
) -> None:
    model = (await store.publish(2.0)).as_model("model")
    before = await operator.assign(model)
    loaded = await operator.until_loaded(model)
    child = agent.child()
    async with traffic(server, "model") as seen:
        agent.kill_child()
        after = await operator.until(lambda state: agent.child() != child and serves(state, model))
    assert agent.process.running
    assert seen.failures == []
    assert (after.etag, after.fence) == (before.etag, before.fence)
    assert after.ready
    assert (
        held(after, "model").load_seconds == held(loaded, "model").load_seconds
    )  # not loaded anew
    assert after.restarts == 0


async def test_a_change_that_a_killed_agent_left_half_done_is_finished(
    agent: Agent, operator: AgentClient, store: Store, server: Triton
) -> None:
    old = (await store.publish(2.0)).as_model("model")
    new = (await store.publish(3.0, key="b" * 64)).as_model("model")
    await operator.assign(old)
    await operator.until_loaded(old)
    async with traffic(server, "model") as seen:
        await operator.assign(new)
        await operator.until(lambda state: held(state, "model").target_state is LoadState.VERIFYING)
        agent.kill_child()
        await operator.until_loaded(new)
    assert seen.failures == []
    assert set(seen.answers) <= {2.0, 3.0}
    assert await factor(server, "model") == 3.0
    assert not (server.repository / "model__staging").exists()


async def test_agent_and_triton_both_killed(
    agent: Agent, operator: AgentClient, store: Store, server: Triton, tmp_path: Path
) -> None:
    model = (await store.publish(2.0)).as_model("model")
    await operator.assign(model)
    await operator.until_loaded(model)
    server.process.kill()
    agent.kill_child()
    with restarted(server, tmp_path):
        state = await operator.until(lambda state: state.ready)
        assert serves(state, model)
        assert await factor(server, "model") == 2.0


async def test_a_model_that_cannot_be_restored_does_not_hold_the_server(
    agent: Agent, operator: AgentClient, store: Store, server: Triton, tmp_path: Path
) -> None:
    good = (await store.publish(2.0)).as_model("good")
    bad = (await store.publish(3.0, key="b" * 64)).as_model("bad")
    await operator.assign(good, bad)
    await operator.until_loaded(good, bad)
    server.process.kill()
    cached = tmp_path / "state" / "artifacts" / bad.digest / "golden.npz"
    cached.write_bytes(b"rotten")
    stored = Path(store.uri.removeprefix("file://")) / "sha256" / ("b" * 64)
    for path in stored.rglob("golden.npz"):
        path.chmod(0o644)
        path.write_bytes(b"rotten")
    with restarted(server, tmp_path):
        state = await operator.until(lambda state: state.restarts == 1 and state.ready)
        assert serves(state, good)
        failure = held(state, "bad").failure
        assert failure is not None
        assert failure.reason == "ArtifactCorrupt"
        assert agent.ready


async def test_an_agent_that_starts_before_triton_is_not_ready(
    tmp_path: Path, store: Store
) -> None:
    repository = tmp_path / "models"
    repository.mkdir()
    with triton_process.serving(repository, *SERVER_FLAGS) as server:
        server.process.kill()
        with harness.agent(tmp_path, store, server) as agent:
            async with agent.client() as operator:
                model = (await store.publish(2.0)).as_model("model")
                state = await operator.assign(model)
                assert not state.ready
                assert not agent.ready
                with restarted(server, tmp_path):
                    await operator.until_loaded(model)
                    assert agent.ready


async def test_a_store_that_is_away_holds_the_server_only_for_a_bound(
    tmp_path: Path, store: Store, server: Triton
) -> None:
    published = await store.publish(2.0)
    model = published.as_model("model")
    assert published.folder is not None
    with harness.agent(tmp_path, store, server, restore_seconds=1.0) as agent:
        async with agent.client() as operator:
            await operator.assign(model)
            await operator.until_loaded(model)
            shutil.rmtree(tmp_path / "state" / "artifacts" / model.digest)
            published.folder.rename(tmp_path / "store-is-away")
            server.process.kill()
            with restarted(server, tmp_path):
                state = await operator.until(
                    lambda state: state.restarts == 1 and state.ready and bool(state.models)
                )
                assert held(state, "model").state is not LoadState.LOADED
                (tmp_path / "store-is-away").rename(published.folder)
                await operator.until_loaded(model)
