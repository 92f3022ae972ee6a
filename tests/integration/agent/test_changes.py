"""Changes of a served model in place, under a stream of requests that must not notice."""

from typing import TypedDict

import pytest
from tests.integration.agent.harness import (
    Agent,
    AgentClient,
    Store,
    factor,
    held,
    serves,
    traffic,
)
from tests.support.triton import Triton

from tightship.api.agent import LoadState, ServingConfig
from tightship.triton.client import TritonClient


class Broken(TypedDict, total=False):
    """How a published version is bad."""

    golden_factor: float
    model: bytes


@pytest.mark.parametrize("cached", [False, True], ids=["plain", "response-cache"])
async def test_a_new_version_replaces_the_old_without_a_failed_request(
    operator: AgentClient, store: Store, server: Triton, *, cached: bool
) -> None:
    config = ServingConfig(response_cache=cached)
    old = (await store.publish(2.0)).as_model("model", config)
    new = (await store.publish(3.0, key="b" * 64)).as_model("model", config)
    await operator.assign(old)
    await operator.until_loaded(old)
    async with traffic(server, "model") as seen:
        await operator.assign(new)
        await operator.until_loaded(new)
    assert seen.failures == []
    assert set(seen.answers) <= {2.0, 3.0}
    assert seen.answers == sorted(seen.answers)  # never back to the old one
    assert await factor(server, "model") == 3.0
    assert not (server.repository / "model__staging").exists()


async def test_the_old_version_is_reported_loaded_while_the_new_one_comes(
    operator: AgentClient, store: Store
) -> None:
    old = (await store.publish(2.0)).as_model("model")
    new = (await store.publish(3.0, key="b" * 64)).as_model("model")
    await operator.assign(old)
    await operator.until_loaded(old)
    between = held(await operator.assign(new), "model")
    assert (between.state, between.digest) == (LoadState.LOADED, old.digest)
    assert between.target_digest == new.digest
    final = held(await operator.until_loaded(new), "model")
    assert (final.target_digest, final.target_state) == (None, None)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        pytest.param({"golden_factor": 5.0}, "VerificationFailed", id="wrong-answers"),
        pytest.param({"model": b"no model"}, "LoadFailed", id="does-not-load"),
    ],
)
async def test_a_bad_version_leaves_the_old_one_serving(
    agent: Agent,
    operator: AgentClient,
    store: Store,
    server: Triton,
    broken: Broken,
    reason: str,
) -> None:
    good = (await store.publish(2.0)).as_model("model")
    bad = (await store.publish(3.0, key="b" * 64, **broken)).as_model("model")
    await operator.assign(good)
    await operator.until_loaded(good)
    async with traffic(server, "model") as seen:
        await operator.assign(bad)
        found = await operator.until_failed("model")
    assert seen.failures == []
    assert set(seen.answers) == {2.0}
    assert (found.state, found.digest) == (LoadState.LOADED, good.digest)
    assert (found.target_digest, found.target_state) == (bad.digest, LoadState.FAILED)
    assert found.failure is not None
    assert found.failure.reason == reason
    assert agent.ready
    await operator.assign(good)
    final = held(await operator.until(lambda s: held(s, "model").failure is None), "model")
    assert final.target_digest is None


async def test_settings_change_in_place(
    operator: AgentClient, store: Store, server: Triton
) -> None:
    published = await store.publish(2.0)
    before = published.as_model("model")
    after = published.as_model(
        "model", ServingConfig(instances=2, max_queue_delay_us=300, response_cache=True)
    )
    await operator.assign(before)
    await operator.until_loaded(before)
    async with traffic(server, "model") as seen:
        await operator.assign(after)
        await operator.until_loaded(after)
    assert seen.failures == []
    async with TritonClient(server.http, key="test-triton-key") as client:
        config = await client.config("model")
    assert config["instance_group"][0]["count"] == 2
    assert config["dynamic_batching"]["max_queue_delay_microseconds"] == 300


async def test_a_wish_that_is_overtaken_is_not_served(
    operator: AgentClient, store: Store, server: Triton
) -> None:
    versions = [
        (await store.publish(float(number), key=str(number) * 64)).as_model("model")
        for number in (2, 3, 4)
    ]
    for version in versions:
        await operator.assign(version)
    state = await operator.until(lambda state: serves(state, versions[-1]))
    assert state.assignment.models == (versions[-1],)
    assert await factor(server, "model") == 4.0


async def test_removed_and_assigned_again(
    operator: AgentClient, store: Store, server: Triton
) -> None:
    model = (await store.publish(2.0)).as_model("model")
    await operator.assign(model)
    await operator.until_loaded(model)
    await operator.assign()
    await operator.assign(model)
    await operator.until_loaded(model)
    assert await factor(server, "model") == 2.0
