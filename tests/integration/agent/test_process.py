"""The agent as a process: signals, a rotated Secret, bad settings, its size and its idleness."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from tests.integration.agent.harness import Agent, AgentClient, Store, write_secret
from tests.support.triton import Triton

from tightship.agent.supervisor import CONFIGURATION_ERROR

_COMMAND = [sys.executable, "-m", "tightship.agent.main"]


def test_sigterm_ends_supervisor_and_agent(agent: Agent) -> None:
    child = agent.child()
    os.kill(agent.process.pid, signal.SIGTERM)
    assert agent.process.ended_within(15)
    assert not Path(f"/proc/{child}").exists()


async def test_the_agent_does_not_hold_up_the_end_of_triton(
    agent: Agent, operator: AgentClient, store: Store, server: Triton
) -> None:
    model = (await store.publish(2.0)).as_model("model")
    await operator.assign(model)
    await operator.until_loaded(model)
    server.process.stop()
    assert agent.process.running
    assert "successfully unloaded 'model'" in server.process.tail()
    assert "Exit timeout expired" not in server.process.tail()


async def test_the_supervisor_outlives_many_agents(agent: Agent, operator: AgentClient) -> None:
    for _ in range(3):
        child = agent.child()
        agent.kill_child()
        await operator.until(lambda _, child=child: agent.child() != child)  # type: ignore[misc]
    assert agent.process.running


async def test_a_rotated_secret_is_taken_over(agent: Agent) -> None:
    write_secret(agent.secret, token="second-token")
    async with agent.client("second-token") as operator:
        state = await operator.until(lambda _: True)
    assert state.triton_live
    async with agent.client() as stranger:
        status, _, _ = await stranger.request("GET", "/v1/state")
    assert status == 401


async def test_a_half_written_secret_changes_nothing(agent: Agent, operator: AgentClient) -> None:
    (agent.secret / "tls.crt").write_text("no certificate")
    assert (await operator.state()).triton_live
    write_secret(agent.secret)
    async with agent.client() as again:
        assert (await again.until(lambda _: True)).triton_live


async def test_probes_name_no_model(agent: Agent, operator: AgentClient, store: Store) -> None:
    model = (await store.publish(2.0)).as_model("confidential")
    await operator.assign(model)
    await operator.until_loaded(model)
    async with aiohttp.ClientSession() as session:
        for path in ("/livez", "/readyz"):
            async with session.get(agent.probes + path) as response:
                assert response.status == 200
                assert await response.text() == "ok\n"
        async with session.get(f"{agent.probes}/v1/state") as response:
            assert response.status == 404


async def test_metrics_tell_what_happened(operator: AgentClient, store: Store) -> None:
    good = (await store.publish(2.0)).as_model("good")
    bad = (await store.publish(2.0, golden_factor=3.0, key="b" * 64)).as_model("bad")
    await operator.assign(good, bad)
    await operator.until_failed("bad")
    await operator.until_loaded(good)
    _, _, page = await operator.request("GET", "/metrics")
    assert 'tightship_agent_models{state="Loaded"} 1.0' in page
    assert "tightship_agent_load_seconds_count 1.0" in page
    assert 'tightship_agent_failures_total{reason="VerificationFailed"}' in page


def test_bad_settings_end_the_container_with_one_sentence() -> None:
    env = {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PATH": os.environ["PATH"],
    }
    result = subprocess.run(
        _COMMAND, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == CONFIGURATION_ERROR
    assert "TIGHTSHIP_MEMORY_LIMIT is missing" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("module", ["grpc", "onnx", "onnxruntime", "kubernetes", "kopf"])
def test_the_supervisor_and_the_agent_do_without(module: str) -> None:
    code = f"import sys, tightship.agent.main; assert {module!r} not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=_environment())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
