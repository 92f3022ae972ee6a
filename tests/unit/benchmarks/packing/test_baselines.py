from collections import Counter

import numpy as np
import pytest
from benchmarks.packing.baselines import alone, first_fit, lru, nexus, parva
from benchmarks.packing.placement import NOWHERE, Copies, Placement, fits_memory
from benchmarks.packing.profiles import MAX_BATCH, Floats
from benchmarks.packing.workload import Workload, workload
from hypothesis import given
from hypothesis import strategies as st

drawn = st.builds(workload, models=st.integers(1, 60), seed=st.integers(0, 10**6))
headrooms = st.floats(0.5, 4.0)


def models(
    *, alpha: float = 0.01, beta: float = 0.001, slo: float, rate: list[float], memory: float = 1.0
) -> Workload:
    """Equal models but for their rates; a batch of b takes alpha + beta * b seconds."""
    count = len(rate)
    curve = alpha + beta * np.arange(1, MAX_BATCH + 1)
    return Workload(
        seconds=np.tile(curve, (count, 1)),
        max_batch=np.full(count, MAX_BATCH),
        rate=np.array(rate),
        cv=np.ones(count),
        slo=np.full(count, slo),
        memory=np.full(count, memory),
    )


def single(wanted: Workload) -> Copies:
    """One copy a model, without batching."""
    return Copies(
        model=np.arange(len(wanted)),
        rate=wanted.rate,
        delay=np.zeros(len(wanted)),
        max_batch=np.ones(len(wanted), np.int64),
        duty=wanted.rate * wanted.seconds[:, 0],
    )


def served(placement: Placement, wanted: Workload) -> Floats:
    placed = placement.copies
    rates = np.bincount(placed.model, weights=placed.rate, minlength=len(wanted))
    return np.asarray(rates, np.float64)


def distinct(placement: Placement) -> bool:
    held = placement.device != NOWHERE
    pairs = Counter(
        zip(placement.copies.model[held].tolist(), placement.device[held].tolist(), strict=True)
    )
    return max(pairs.values(), default=1) == 1


def test_alone_is_a_device_a_copy() -> None:
    wanted = models(slo=0.1, rate=[1.0, 2.0, 3.0])
    placement = alone.plan(single(wanted).split(np.array([1, 2, 1])))
    assert placement.devices == 4
    assert placement.copies.rate.tolist() == [1.0, 1.0, 1.0, 3.0]


def test_first_fit_takes_large_memory_first_and_the_first_device_with_room() -> None:
    wanted = models(alpha=0.009, slo=1.0, rate=[10.0, 30.0, 30.0, 20.0])
    wanted.memory[:] = [1.0, 40.0, 30.0, 20.0]
    placement = first_fit.plan(wanted, single(wanted), cap=0.6)
    # By memory 1, 2, 3, 0: the first two fill a device's time, the third finds no memory beside.
    assert placement.device.tolist() == [1, 0, 0, 1]


def test_first_fit_splits_what_is_over_the_cap_onto_different_devices() -> None:
    wanted = models(alpha=0.009, slo=1.0, rate=[100.0])
    placement = first_fit.plan(wanted, single(wanted), cap=0.4)
    assert placement.device.tolist() == [0, 1, 2]
    assert placement.copies.duty == pytest.approx([1 / 3] * 3)


@given(drawn, st.floats(0.05, 1.0))
def test_first_fit_keeps_memory_cap_and_rates(wanted: Workload, cap: float) -> None:
    placement = first_fit.plan(wanted, single(wanted), cap)
    duty = np.bincount(placement.device, weights=placement.copies.duty)
    assert (duty <= cap + 1e-9).all()
    assert fits_memory(placement, wanted)
    assert distinct(placement)
    assert served(placement, wanted) == pytest.approx(wanted.rate)


def test_nexus_merges_in_the_shortest_cycle() -> None:
    # 50/s within 0.1 s: (b - 1) / 50 + L(b) <= 0.1 gives b = 5 (0.08 + 0.015), so the cycle is
    # min(0.1 - 0.015, 5 / 50) = 0.085 s and each takes 0.015 s of it. Five fit, six do not.
    five = nexus.schedule(models(slo=0.1, rate=[50.0] * 5), headroom=1)
    assert set(five.device) == {0}
    assert five.cycle == pytest.approx([0.085] * 5)
    assert set(five.batch) == {5}
    assert nexus.plan(models(slo=0.1, rate=[50.0] * 6)).devices == 2


def test_nexus_gives_devices_to_a_rate_that_fills_them() -> None:
    # Half of 0.1 s takes batches of 40: 40 / 0.05 = 800/s a device. 2,000/s fill two.
    placement = nexus.plan(models(slo=0.1, rate=[2000.0]))
    assert placement.devices == 3
    assert placement.copies.rate == pytest.approx([800, 800, 400])


@given(drawn, headrooms)
def test_nexus_gathers_and_runs_every_batch_within_its_cycle(
    wanted: Workload, headroom: float
) -> None:
    made = nexus.schedule(wanted, headroom)
    planned = np.bincount(made.model, weights=made.rate)
    assert planned == pytest.approx(wanted.rate * headroom)
    latency = wanted.seconds[made.model, made.batch - 1]
    for device in np.unique(made.device[made.cycle > 0]):
        rows = np.flatnonzero(made.device == device)
        (cycle,) = set(made.cycle[rows])
        assert latency[rows].sum() <= cycle + 1e-9
        assert (made.batch[rows] >= made.rate[rows] * cycle - 2e-3).all()
        assert (cycle + latency[rows] <= wanted.slo[made.model[rows]] + 1e-9).all()
    alone = made.cycle == 0
    assert (latency[alone] <= wanted.slo[made.model[alone]] / 2).all()
    assert not np.isin(made.device[alone], made.device[~alone]).any()


@given(drawn, headrooms)
def test_nexus_serves_every_rate_and_keeps_memory(wanted: Workload, headroom: float) -> None:
    placement = nexus.plan(wanted, headroom)
    assert fits_memory(placement, wanted)
    assert distinct(placement)
    assert served(placement, wanted) == pytest.approx(wanted.rate)


def test_parva_on_whole_devices_is_a_device_a_model_at_least() -> None:
    # Under 0.45 * 0.1 s lie batches of 34: 34 / 0.044 = 772.7/s a segment.
    placement = parva.plan(models(slo=0.1, rate=[10.0, 700.0, 800.0]))
    assert placement.copies.model.tolist() == [2, 0, 1, 2]
    assert set(placement.copies.max_batch) == {34}
    assert placement.devices == 4


def test_parva_cuts_small_models_into_sevenths() -> None:
    wanted = models(slo=0.1, rate=[10.0] * 8)
    assert parva.plan(wanted, sizes=parva.SLICES).devices == 2


def test_an_ideal_slice_slows_only_what_grows_with_the_batch() -> None:
    placement = parva.plan(models(slo=1.0, rate=[10.0]), sizes=(1,))
    assert placement.seconds is not None
    assert placement.seconds[0, :2] == pytest.approx([0.01 + 0.007, 0.01 + 0.014])


@pytest.mark.parametrize(
    ("sizes", "devices"),
    [
        ((4, 3), [[4, 3]]),
        ((3, 3, 1), [[3, 3], [1]]),  # two of three take all of the memory
        ((2, 2, 2, 1), [[2, 2, 2, 1]]),
        ((1,) * 8, [[1] * 7, [1]]),
        ((7, 1), [[7], [1]]),
    ],
)
def test_slices_share_a_device_as_its_geometries_allow(
    sizes: tuple[int, ...], devices: list[list[int]]
) -> None:
    assert parva.devices(np.array(sizes)) == devices


@given(drawn, headrooms, st.sampled_from([parva.WHOLE, parva.SLICES]))
def test_parva_serves_the_rate_by_batches_within_its_share_of_the_objective(
    wanted: Workload, headroom: float, sizes: tuple[int, ...]
) -> None:
    wanted = wanted.loosened(4.0)
    placement = parva.plan(wanted, headroom, sizes)
    placed, seconds = placement.copies, placement.seconds
    assert seconds is not None
    latency = seconds[np.arange(len(placed)), placed.max_batch - 1]
    assert (latency < parva.SAFETY * wanted.slo[placed.model]).all()
    sustained = np.bincount(placed.model, weights=placed.max_batch / latency)
    assert (sustained >= wanted.rate * headroom * (1 - 1e-9)).all()
    assert served(placement, wanted) == pytest.approx(wanted.rate)
    assert placement.devices <= len(placed)


def test_lru_gives_a_second_copy_and_one_for_each_2000_a_minute() -> None:
    wanted = models(slo=0.1, rate=[1.0, 90.0])
    placement = lru.plan(wanted, single(wanted), devices=4, seed=1)
    assert np.bincount(placement.copies.model).tolist() == [2, 3]


def test_lru_drops_second_copies_first_and_then_what_was_used_longest_ago() -> None:
    wanted = models(slo=0.1, rate=[1e-6, 1e3, 1e3], memory=40.0)
    placement = lru.plan(wanted, single(wanted), devices=2, seed=1)
    assert placement.device[0] == NOWHERE
    assert sorted(placement.device[1:]) == [0, 1]
    assert placement.devices == 2


@given(drawn, st.integers(1, 8), st.integers(0, 100))
def test_lru_keeps_memory_and_copies_apart(wanted: Workload, devices: int, seed: int) -> None:
    placement = lru.plan(wanted, single(wanted), devices, seed)
    assert placement.devices <= devices
    assert fits_memory(placement, wanted)
    assert distinct(placement)
    assert served(placement, wanted) == pytest.approx(wanted.rate)
    if wanted.memory.sum() + 30 * devices < devices * 70:
        assert NOWHERE not in placement.device
