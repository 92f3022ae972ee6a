"""Predictions of measured runs: small ones by hand, and what the recorded ones need."""

from __future__ import annotations

import pytest
from benchmarks.simulator import measured

SETUP = {"model": "m", "gpu": "g", "max_batch": "4", "instances": "1"}


def offline(batch: int, seconds: float) -> measured.Row:
    return {
        "client_batch": str(batch),
        "compute_in_ms": "1",
        "compute_infer_ms": str(1000 * seconds - 2),
        "compute_out_ms": "1",
    }


CURVE = [offline(1, 0.010), offline(4, 0.016)]


@pytest.mark.parametrize(
    ("items", "clients", "mean", "throughput"),
    [
        pytest.param(1, 1, 0.015, 1 / 0.015, id="one client waits for nobody"),
        pytest.param(2, 1, 0.017, 2 / 0.017, id="a request of two items"),
        pytest.param(1, 8, 0.032, 250, id="a full server"),
        pytest.param(4, 3, 0.048, 250, id="requests that fill a batch each"),
    ],
)
def test_a_closed_loop_is_predicted(
    items: int, clients: int, mean: float, throughput: float
) -> None:
    run = {
        "client_batch": str(items),
        "concurrency": str(clients),
        "client_send_ms": "1",
        "net_ms": "4",
        "avg_ms": str(1000 * mean),
        "p99_ms": str(1000 * mean),
        "infer_per_s": str(throughput),
    }
    found = measured.predicted(SETUP, CURVE, run)
    assert found.mean == pytest.approx(1, rel=0.01)
    assert found.throughput == pytest.approx(1, rel=0.01)
    assert found.p99 == pytest.approx(1, rel=0.2)


def test_every_recorded_run_has_a_curve_that_reaches_its_batches() -> None:
    runs = measured.rows("runs.csv")
    online = [run for run in runs if run["scenario"] == "online"]
    assert len(online) == 1216
    for setup in measured.rows("setups.csv"):
        mine = [run for run in runs if run["setup"] == setup["setup"]]
        reached = max(int(run["client_batch"]) for run in mine if run["scenario"] == "offline")
        for run in (run for run in mine if run["scenario"] == "online"):
            items = int(run["client_batch"])
            most = min(int(setup["max_batch"]) // items, int(run["concurrency"]))
            assert items * most <= reached
