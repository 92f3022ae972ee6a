import numpy as np
import pytest
from benchmarks.packing.profiles import MAX_BATCH, measured
from benchmarks.packing.workload import SEEDS, workload


def test_fifteen_models_have_four_measured_batches_of_64_or_less() -> None:
    known = measured()
    assert len(known) == 15
    assert {one.max_batch for one in known} == {8, MAX_BATCH}


def test_a_measured_batch_keeps_its_latency() -> None:
    resnet = next(one for one in measured() if one.name.startswith("ConvNets/resnet50"))
    assert resnet.seconds[[0, 1, 2, 3]] == pytest.approx([2.128e-3, 2.194e-3, 2.4765e-3, 2.759e-3])


def test_curves_rise_and_end_at_the_largest_measured_batch() -> None:
    for one in measured():
        inside = one.seconds[: one.max_batch]
        assert (np.diff(inside) >= 0).all()
        assert np.isfinite(inside).all()
        assert np.isinf(one.seconds[one.max_batch :]).all()


@pytest.mark.parametrize("models", [100, 1_000])
@pytest.mark.parametrize("seed", SEEDS)
def test_models_are_drawn_as_told(models: int, seed: int) -> None:
    drawn = workload(models, seed)
    assert len(drawn) == models
    assert drawn.rate.mean() == pytest.approx(30)
    ordered = np.sort(drawn.rate)[::-1]
    assert ordered[0] / ordered[9] == pytest.approx(10**1.05)
    assert set(drawn.cv) == {1.0, 1.5, 2.0}
    assert (drawn.slo >= 8 * drawn.seconds[:, 0] - 1e-12).all()
    assert drawn.slo.min() >= 0.02
    assert (drawn.memory >= 0.3).all()
    assert (drawn.memory <= 30).all()
    assert np.median(drawn.memory) == pytest.approx(1.6, rel=0.35)


def test_a_seed_is_a_workload_and_another_seed_is_another() -> None:
    one, again, other = workload(50, 1), workload(50, 1), workload(50, 2)
    assert np.array_equal(one.rate, again.rate)
    assert np.array_equal(one.seconds, again.seconds)
    assert not np.array_equal(one.rate, other.rate)


def test_other_loads_and_objectives_change_nothing_else() -> None:
    one = workload(50, 1)
    changed = one.loaded(2.0).loosened(3.0)
    assert np.array_equal(changed.rate, 2 * one.rate)
    assert np.array_equal(changed.slo, 3 * one.slo)
    assert changed.memory is one.memory
