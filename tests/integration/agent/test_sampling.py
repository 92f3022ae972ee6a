"""Requests that a real Triton writes down, counted by a real agent: no drift, and drift named."""

import asyncio
import itertools
from dataclasses import replace

import aiohttp
import numpy as np
from tests.integration.agent.harness import (
    Agent,
    AgentClient,
    Store,
    held,
    traces_of,
)
from tests.support.triton import Triton

from tightship.api.agent import DriftReport, DriftSampling, ModelAssignment
from tightship.drift.reference import Column, Reference, reference

SAMPLES = 60


def _rows(count: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    rows[:, 2] += shift
    return rows


def _reference() -> Reference:
    rows = _rows(2000, 0)
    made = reference(
        [Column(name="x", rows=rows, fixed=True)], [Column(name="y", rows=2 * rows, fixed=True)]
    )
    assert made is not None
    return made


def _sampled(model: ModelAssignment, rate: int = 1) -> ModelAssignment:
    return replace(model, drift=DriftSampling(rate=rate, samples=SAMPLES))


async def _report(operator: AgentClient, triton: Triton, shift: float) -> DriftReport:
    """The first report that shows what clients send from now on."""
    url = f"{triton.url}/v2/models/model/infer"
    async with aiohttp.ClientSession() as session, asyncio.timeout(60):
        for seed in itertools.count(1):
            for row in _rows(20, seed, shift).tolist():
                tensor = {"name": "x", "shape": [1, 4], "datatype": "FP32", "data": row}
                async with session.post(url, json={"inputs": [tensor]}) as answer:
                    assert answer.status == 200
            report = held(await operator.state(), "model").drift
            if report is not None and report.samples and bool(report.features) == bool(shift):
                break
    assert report is not None
    return report


async def test_drift_is_named_and_its_absence_told(
    agent: Agent, operator: AgentClient, store: Store, server: Triton
) -> None:
    plain = (await store.publish(2.0, reference=_reference())).as_model("model")
    model = _sampled(plain)
    await operator.assign(model)
    await operator.until_loaded(model)
    loaded = held(await operator.state(), "model")

    same = await _report(operator, server, 0.0)
    assert same == DriftReport(digest=model.digest, samples=SAMPLES)
    shifted = await _report(operator, server, 3.0)
    assert {each.name for each in shifted.features} == {"in/x[2]", "out/y[2]", "out/y.class"}
    assert all(each.psi > 0.2 for each in shifted.features)
    status, _, page = await operator.request("GET", "/metrics")
    assert status == 200
    assert 'tightship_agent_drift_psi{model="model"}' in page

    await operator.assign(plain)
    state = await operator.until(lambda state: held(state, "model").drift is None)
    assert held(state, "model") == replace(loaded, drift=None)  # nothing was loaded anew
    assert not [
        path for path in traces_of(server.repository).iterdir() if path.stat().st_size > 1e6
    ]
    assert agent.ready


async def test_an_artifact_without_a_reference_says_so(operator: AgentClient, store: Store) -> None:
    model = _sampled((await store.publish(2.0)).as_model("model"))
    await operator.assign(model)
    state = await operator.until(lambda state: held(state, "model").drift is not None)
    report = held(state, "model").drift
    assert report is not None
    assert "has no reference" in (report.trouble or "")
