"""Whole simulations against queueing theory: means that hold exactly, within sampling error."""

from __future__ import annotations

import numpy as np
import pytest

from tightship.simulate.attainment import attained
from tightship.simulate.device import Sharing
from tightship.simulate.tenants import linear, tenants

SERVICE = 0.01


def bulk(rate: float, curve: list[float]) -> float:
    """Mean latency of a Poisson queue whose server takes all that waits, up to len(curve).

    The requests left at the ends of batches are a Markov chain; over one of its steps the number
    in the system is known, and Little's law makes a latency of its mean.
    """
    states = np.arange(400)
    size = np.clip(states, 1, len(curve))
    service = np.array(curve)[size - 1]
    logs = np.concatenate([[0.0], np.cumsum(np.log(states[1:]))])
    arrivals = np.exp(states * np.log(rate * service[:, None]) - rate * service[:, None] - logs)
    chain = np.zeros((400, 400))
    for state in states:
        left = state - size[state] if state else 0
        chain[state, left:] = arrivals[state, : 400 - left]
    chain /= chain.sum(axis=1, keepdims=True)
    share = np.linalg.matrix_power(chain, 4096)[0]
    inside = share @ (np.maximum(states, 1) * service + rate * service**2 / 2)
    seconds = share @ service + share[0] / rate
    return float(inside / seconds / rate)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.9])
def test_one_at_a_time_waits_as_pollaczek_and_khinchine_say(load: float) -> None:
    queue = tenants(rate=load / SERVICE, slo=1, curves=[[SERVICE]])
    found = attained(queue, seconds=4000, warmup=10)
    wait = SERVICE * load / (2 * (1 - load))
    assert found.mean[0] == pytest.approx(SERVICE + wait, rel=0.03)
    assert found.busy[0] == pytest.approx(load, rel=0.02)


@pytest.mark.parametrize("sizes", [4, 16])
@pytest.mark.parametrize("load", [0.4, 0.8])
def test_batches_grow_with_the_load_as_bulk_queues_do(sizes: int, load: float) -> None:
    curves = linear(0.004, 0.001, sizes)
    rate = load * sizes / curves[0, -1]
    found = attained(
        tenants(rate=rate, slo=1, curves=curves, max_batch=sizes), seconds=1000, warmup=10
    )
    assert found.mean[0] == pytest.approx(bulk(rate, curves[0].tolist()), rel=0.02)


@pytest.mark.parametrize("load", [0.5, 0.8])
def test_sharing_slows_each_model_by_what_is_left_of_the_device(load: float) -> None:
    alone = np.array([0.002, 0.01, 0.05])
    models = tenants(rate=load / 3 / alone, slo=1, curves=alone[:, None], instances=500)
    found = attained(models, seconds=4000, warmup=20)
    np.testing.assert_allclose(found.mean, alone / (1 - load), rtol=0.04)
    assert found.busy[0] == pytest.approx(load, rel=0.02)


def test_taking_turns_keeps_the_work_that_waits() -> None:
    """Kleinrock's conservation law: the order without preemption does not change sum(rho W)."""
    alone, loads = np.array([0.002, 0.01, 0.05]), np.array([0.2, 0.4, 0.1])
    models = tenants(rate=loads / alone, slo=1, curves=alone[:, None])
    found = attained(models, seconds=4000, warmup=20, sharing=Sharing(exclusive=True))
    waits = loads @ (found.mean - alone)
    second_moment = loads @ alone
    assert waits == pytest.approx(loads.sum() * second_moment / 2 / (1 - loads.sum()), rel=0.04)


def test_interference_lengthens_work_while_others_run() -> None:
    """Of two models on a device busy all the time, both are in flight all the time."""
    models = tenants(rate=0, clients=1, slo=1, curves=[[0.01], [0.01]])
    found = attained(models, seconds=100, sharing=Sharing(interference=0.25))
    np.testing.assert_allclose(found.mean, 0.01 * 2 * 1.25, rtol=1e-6)


@pytest.mark.parametrize(("clients", "latency"), [(1, 0.005), (4, 0.008), (8, 0.016), (12, 0.024)])
def test_a_closed_loop_obeys_littles_law(clients: int, latency: float) -> None:
    loop = tenants(rate=0, clients=clients, slo=1, curves=linear(0.004, 0.001, 4), max_batch=4)
    found = attained(loop, seconds=100, warmup=1)
    assert found.mean[0] == pytest.approx(latency, rel=1e-3)
    assert found.offered[0] == pytest.approx(100 * clients / latency, rel=1e-3)
