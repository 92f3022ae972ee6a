"""From an assignment to a verified model, and every way in which that is refused."""

from pathlib import Path

import numpy as np
import pytest
from tests.integration.agent import harness
from tests.integration.agent.harness import (
    CONFIG,
    MIB,
    Agent,
    AgentClient,
    Store,
    factor,
    held,
)
from tests.support.triton import Triton

from tightship.api.agent import LoadState, ServingConfig
from tightship.triton.client import TritonClient
from tightship.triton.errors import TritonRefusedError


async def test_loads_verifies_and_reports(
    agent: Agent, operator: AgentClient, store: Store, server: Triton
) -> None:
    model = (await store.publish(2.0)).as_model("double")
    await operator.assign(model)
    state = await operator.until_loaded(model)
    found = held(state, "double")
    assert await factor(server, "double") == 2.0
    assert found.failure is None
    assert found.load_seconds is not None
    assert found.load_seconds > 0
    assert found.memory is not None
    assert found.memory > 10 * MIB  # a Python-based backend's process
    assert state.memory_used >= 80 * MIB
    assert agent.ready


async def test_unloads_what_is_not_assigned(
    operator: AgentClient, store: Store, server: Triton
) -> None:
    published = await store.publish(2.0)
    first, second = published.as_model("first"), published.as_model("second")
    await operator.assign(first, second)
    await operator.until_loaded(first, second)
    await operator.assign(second)
    state = await operator.until(lambda state: len(state.models) == 1)
    assert await factor(server, "second") == 2.0
    with pytest.raises(TritonRefusedError, match=r"no available versions|unknown model"):
        await factor(server, "first")
    assert not (server.repository / "first").exists()
    assert state.memory_used < 160 * MIB


async def test_restricted_apis_are_closed_to_clients(server: Triton) -> None:
    async with TritonClient(server.http) as stranger:
        with pytest.raises(TritonRefusedError, match="restricted"):
            await stranger.load("anything")


async def test_a_corrupted_file_is_refused_before_triton_sees_it(
    operator: AgentClient, store: Store, server: Triton
) -> None:
    published = await store.publish(2.0)
    assert published.folder is not None
    onnx = published.folder / "model" / "1" / "model.onnx"
    onnx.chmod(0o644)
    content = bytearray(onnx.read_bytes())
    content[len(content) // 2] ^= 1
    onnx.write_bytes(content)
    await operator.assign(published.as_model("broken"))
    found = await operator.until_failed("broken")
    assert found.state is LoadState.FAILED
    assert found.failure is not None
    assert found.failure.reason == "ArtifactCorrupt"
    assert "model/1/model.onnx" in found.failure.message
    assert not (server.repository / "broken").exists()


async def test_a_missing_artifact(operator: AgentClient, store: Store) -> None:
    published = await store.publish(2.0)
    model = published.as_model("gone")
    assert published.folder is not None
    (published.folder / "manifest.json").unlink()
    await operator.assign(model)
    found = await operator.until_failed("gone")
    assert found.failure is not None
    assert (found.failure.reason, found.failure.retryable) == ("ArtifactMissing", True)


async def test_an_artifact_that_appears_later_is_loaded(
    operator: AgentClient, store: Store
) -> None:
    published = await store.publish(2.0)
    model = published.as_model("late")
    assert published.folder is not None
    away = published.folder.with_name("away")
    published.folder.rename(away)
    await operator.assign(model)
    await operator.until_failed("late")
    away.rename(published.folder)
    await operator.until_loaded(model)


async def test_wrong_golden_answers_are_never_reported_loaded(
    operator: AgentClient, store: Store, server: Triton
) -> None:
    await operator.assign((await store.publish(2.0, golden_factor=2.1)).as_model("liar"))
    found = await operator.until_failed("liar")
    assert found.digest is None
    assert found.failure is not None
    assert found.failure.reason == "VerificationFailed"
    assert "output 'y'" in found.failure.message
    with pytest.raises(TritonRefusedError):
        await factor(server, "liar")


@pytest.mark.parametrize(
    ("model", "config", "words"),
    [
        pytest.param(b"no model", CONFIG, "Protobuf parsing failed", id="not-onnx"),
        pytest.param(None, CONFIG.replace('"y"', '"z"'), "outputs", id="wrong-output"),
        pytest.param(None, 'backend: "nothing"', "backend", id="unknown-backend"),
        pytest.param(None, "max_batch_size: many", "config.pbtxt", id="not-protobuf"),
    ],
)
async def test_what_triton_refuses_is_told_in_its_words(
    operator: AgentClient, store: Store, model: bytes | None, config: str, words: str
) -> None:
    await operator.assign((await store.publish(model=model, config=config)).as_model("refused"))
    found = await operator.until_failed("refused")
    assert found.failure is not None
    assert found.failure.reason == "LoadFailed"
    assert words in found.failure.message
    assert "\n" not in found.failure.message
    assert "Traceback" not in found.failure.message


async def test_one_bad_model_does_not_hold_up_the_others(
    agent: Agent, operator: AgentClient, store: Store
) -> None:
    bad = (await store.publish(2.0, golden_factor=9.0, key="b" * 64)).as_model("bad")
    good = (await store.publish(2.0)).as_model("good")
    await operator.assign(bad, good)
    await operator.until_failed("bad")
    await operator.until_loaded(good)
    assert agent.ready


async def test_memory_is_never_promised_twice(tmp_path: Path, server: Triton, store: Store) -> None:
    published = await store.publish(2.0)
    small, large = published.as_model("large"), published.as_model("small", memory=150 * MIB)
    with harness.agent(tmp_path, store, server, memory_limit=200 * MIB) as agent:
        async with agent.client() as operator:
            await operator.assign(small)
            await operator.until_loaded(small)
            await operator.assign(small, large)
            found = await operator.until_failed("small")
            assert found.failure is not None
            assert found.failure.reason == "NoMemory"
            assert "200.0 MiB" in found.failure.message
            await operator.assign(large)
            state = await operator.until_loaded(large)
            assert state.memory_used <= 200 * MIB
            assert state.memory_limit == 200 * MIB


async def test_dynamic_batching_and_response_cache_reach_triton(
    operator: AgentClient, store: Store, server: Triton
) -> None:
    published = await store.publish(2.0)
    plain = published.as_model("plain", ServingConfig(dynamic_batching=False))
    batched = published.as_model(
        "batched", ServingConfig(dynamic_batching=True, max_queue_delay_us=200)
    )
    cached = published.as_model("cached", ServingConfig(response_cache=True))
    await operator.assign(plain, batched, cached)
    await operator.until_loaded(plain, batched, cached)
    async with TritonClient(server.http, key="test-triton-key") as client:
        configs = {name: await client.config(name) for name in ("plain", "batched", "cached")}
        before = (await client.statistics("cached"))["inference_stats"]["cache_hit"]["count"]
        sample = {"x": np.full((1, 4), 3.0, np.float32)}
        for _ in range(3):
            await client.infer("cached", sample)
        after = (await client.statistics("cached"))["inference_stats"]["cache_hit"]["count"]
    assert "dynamic_batching" not in configs["plain"]
    assert configs["batched"]["dynamic_batching"]["max_queue_delay_microseconds"] == 200
    assert configs["cached"]["response_cache"] == {"enable": True}
    assert after - before == 2
    groups = configs["plain"]["instance_group"]
    assert [group["count"] for group in groups] == [1]
