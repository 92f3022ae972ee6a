"""A model whose process dies in a Triton that lives on is noticed, told and brought back."""

import asyncio
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from tests.integration.agent.harness import (
    CONFIG,
    TRITON_KEY,
    Agent,
    AgentClient,
    Store,
    factor,
    held,
    serves,
    traffic,
)
from tests.support.triton import Triton

from tightship.api.agent import LoadState, ServerState, ServingConfig
from tightship.triton.client import TritonClient
from tightship.triton.errors import TritonRefusedError
from tightship.triton.metrics import parse

_LOOKS_SECONDS = 7  # three looks of the agent

_PICKY = b"""
import triton_python_backend_utils as pb

class TritonPythonModel:
    def execute(self, requests):
        inputs = [pb.get_input_tensor_by_name(request, "x").as_numpy() for request in requests]
        if any(x.max() > 100 for x in inputs):
            raise ValueError("more than 100")
        return [pb.InferenceResponse([pb.Tensor("y", x * 2)]) for x in inputs]
"""


def _kill_instance(server: Triton, model: str, instance: int = 0) -> None:
    """Ends one process of a model as the kernel does when memory is short."""
    os.kill(_instances(server, model)[f"{model}_0_{instance}"], signal.SIGKILL)


def _instances(server: Triton, model: str) -> dict[str, int]:
    """The pids of a model's processes, by their names."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_text().split("\0")
        except OSError:
            continue
        names = [word for word in command if word.startswith(f"{model}_0_")]
        if str(server.process.pid) in command and names:
            found[names[0]] = int(folder.name)
    return found


async def _until_noticed(operator: AgentClient, model: str) -> ServerState:
    return await operator.until(lambda state: held(state, model).state is not LoadState.LOADED)


async def _crashes(operator: AgentClient) -> float:
    _, _, page = await operator.request("GET", "/metrics")
    count = parse(page).total("tightship_agent_crashes_total")
    assert isinstance(count, float)
    return count


async def _answers(server: Triton, model: str) -> float:
    async with TritonClient(server.http, metrics_address=server.metrics) as client:
        page = parse(await client.metrics())
    count = page.total("nv_inference_request_success", model=model)
    assert isinstance(count, float)
    return count


async def test_a_model_whose_process_died_is_brought_back(
    agent: Agent, operator: AgentClient, store: Store, server: Triton
) -> None:
    model = (await store.publish(2.0)).as_model("model")
    other = (await store.publish(3.0, key="b" * 64)).as_model("other")
    await operator.assign(model, other)
    await operator.until_loaded(model, other)
    _kill_instance(server, "model")
    async with traffic(server, "model") as seen, traffic(server, "other") as beside:
        state = await _until_noticed(operator, "model")
        found = held(state, "model")
        assert found.state in (LoadState.LOADING, LoadState.FETCHING)
        assert found.digest is None
        assert found.failure is not None
        assert (found.failure.reason, found.failure.retryable) == ("ModelCrashed", True)
        assert "not healthy" in found.failure.message
        assert state.ready
        assert serves(state, other)
        assert agent.ready
        state = await operator.until_loaded(model)
    assert held(state, "model").failure is None
    assert await factor(server, "model") == 2.0
    assert seen.failures
    assert set(seen.answers) <= {2.0}
    assert beside.failures == []
    assert await _crashes(operator) == 1


async def test_one_dead_instance_of_two_is_noticed(
    operator: AgentClient, store: Store, server: Triton
) -> None:
    two = ServingConfig(instances=2)
    model = (await store.publish(2.0)).as_model("model", two, memory=160 << 20)
    await operator.assign(model)
    await operator.until_loaded(model)
    _kill_instance(server, "model", 1)
    async with traffic(server, "model", clients=2):
        await _until_noticed(operator, "model")
        await operator.until_loaded(model)
    assert [await factor(server, "model") for _ in range(4)] == [2.0] * 4


async def test_cached_answers_do_not_hide_a_dead_process(
    operator: AgentClient, store: Store, server: Triton
) -> None:
    cached = ServingConfig(response_cache=True)
    model = (await store.publish(2.0)).as_model("model", cached)
    await operator.assign(model)
    await operator.until_loaded(model)
    noticed = asyncio.create_task(_until_noticed(operator, "model"))
    _kill_instance(server, "model")
    async with traffic(server, "model"):  # answered from the cache
        async with TritonClient(server.http) as client:
            with pytest.raises(TritonRefusedError, match="not healthy"):
                await client.infer("model", {"x": np.full((1, 4), 1000.0, np.float32)})
        await noticed
        await operator.until_loaded(model)
    async with TritonClient(server.http) as client:
        answer = await client.infer("model", {"x": np.full((1, 4), 2000.0, np.float32)})
    assert float(answer["y"][0, 0]) == 4000.0


async def test_a_model_that_crashes_again_and_again_waits_longer(
    agent: Agent, operator: AgentClient, store: Store, server: Triton
) -> None:
    model = (await store.publish(2.0)).as_model("model")
    await operator.assign(model)
    await operator.until_loaded(model)
    for count, words in enumerate(["", "2 times in a row", "after a pause of 2 s"], start=1):
        _kill_instance(server, "model")
        async with traffic(server, "model", clients=1):
            state = await _until_noticed(operator, "model")
            failure = held(state, "model").failure
            assert failure is not None
            assert words in failure.message
            assert agent.ready
            await operator.until_loaded(model)
        assert await _crashes(operator) == count


async def test_a_model_that_somebody_unloaded_is_brought_back(
    agent: Agent, operator: AgentClient, store: Store, server: Triton
) -> None:
    model = (await store.publish(2.0)).as_model("model")
    await operator.assign(model)
    await operator.until_loaded(model)
    async with TritonClient(server.http, key=TRITON_KEY) as intruder:
        await intruder.unload("model")
    state = await _until_noticed(operator, "model")
    assert state.ready
    await operator.until_loaded(model)
    assert await factor(server, "model") == 2.0
    assert agent.ready


@pytest.mark.parametrize(
    ("value", "width", "words", "doubted"),
    [
        pytest.param(500.0, 4, "more than 100", True, id="the-model-fails-on-it"),
        pytest.param(1.0, 5, "unexpected shape", False, id="triton-refuses-it"),
    ],
)
async def test_bad_requests_lead_to_nothing(
    operator: AgentClient,
    store: Store,
    server: Triton,
    *,
    value: float,
    width: int,
    words: str,
    doubted: bool,
) -> None:
    config = CONFIG.replace("onnxruntime", "python")
    published = await store.publish(2.0, model=_PICKY, model_file="model.py", config=config)
    model = published.as_model("model")
    await operator.assign(model)
    loaded = await operator.until_loaded(model)
    instances = _instances(server, "model")
    answers = await _answers(server, "model")
    async with TritonClient(server.http) as client:
        end = asyncio.get_running_loop().time() + _LOOKS_SECONDS
        while asyncio.get_running_loop().time() < end:
            with pytest.raises(TritonRefusedError, match=words):
                await client.infer("model", {"x": np.full((1, width), value, np.float32)})
    assert (await _answers(server, "model") > answers) is doubted, "only the agent is answered"
    assert await operator.state() == loaded
    assert await _crashes(operator) == 0
    assert _instances(server, "model") == instances
    assert await factor(server, "model") == 2.0
