import numpy as np
import pytest
from benchmarks.packing.judge import satisfied
from benchmarks.packing.placement import NOWHERE, Copies, Placement
from benchmarks.packing.profiles import MAX_BATCH
from benchmarks.packing.workload import Workload


def models(*, rate: list[float], slo: float = 0.1) -> Workload:
    """Models of which a batch of b takes 10 + b ms, whatever b up to 64."""
    count = len(rate)
    return Workload(
        seconds=np.tile(0.01 + 0.001 * np.arange(1, MAX_BATCH + 1), (count, 1)),
        max_batch=np.full(count, MAX_BATCH),
        rate=np.array(rate),
        cv=np.ones(count),
        slo=np.full(count, slo),
        memory=np.ones(count),
    )


def on(wanted: Workload, device: list[int], max_batch: int = 1) -> Placement:
    count = len(device)
    copies = Copies(
        model=np.arange(count),
        rate=wanted.rate,
        delay=np.zeros(count),
        max_batch=np.full(count, max_batch),
        duty=np.zeros(count),
    )
    return Placement(copies, np.array(device))


def test_idle_devices_satisfy_and_overloaded_ones_do_not() -> None:
    wanted = models(rate=[2.0, 2.0, 200.0])
    # 200 a second by batches of one are more than two devices can do.
    assert satisfied(on(wanted, [0, 0, 1]), wanted, seed=1) == pytest.approx(2 / 3)


def test_batches_relieve_a_device() -> None:
    wanted = models(rate=[200.0])
    assert satisfied(on(wanted, [0], max_batch=16), wanted, seed=1) == 1.0


def test_a_model_without_a_device_is_not_satisfied() -> None:
    wanted = models(rate=[2.0, 2.0])
    assert satisfied(on(wanted, [0, NOWHERE]), wanted, seed=1) == 0.5


def test_copies_of_a_model_are_judged_together() -> None:
    wanted = models(rate=[100.0, 1.0])
    copies = Copies(
        model=np.array([0, 0, 1]),
        rate=np.array([99.0, 1.0, 1.0]),
        delay=np.zeros(3),
        max_batch=np.ones(3, np.int64),
        duty=np.zeros(3),
    )
    # The hundredth that finds an idle device does not make up for what queues at the other one.
    assert satisfied(Placement(copies, np.array([0, 1, 1])), wanted, seed=1) == 0.5


def test_a_slice_has_latencies_of_its_own() -> None:
    wanted = models(rate=[2.0])
    slow = Placement(
        on(wanted, [0]).copies, np.array([0]), seconds=np.full((1, MAX_BATCH), 0.2), whole=1
    )
    assert satisfied(slow, wanted, seed=1) == 0.0


def test_large_fleets_are_judged_by_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.packing.judge.REQUESTS", 5 * 240)
    wanted = models(rate=[2.0, 200.0] * 4)
    shares = {satisfied(on(wanted, list(range(8))), wanted, seed=seed) for seed in range(8)}
    assert shares <= {0.0, 0.5, 1.0}
    assert len(shares) > 1
