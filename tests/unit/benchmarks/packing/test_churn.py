import numpy as np
import pytest
from benchmarks.packing import churn
from benchmarks.packing.workload import workload


def test_loads_swing_by_day_and_are_those_of_the_seed() -> None:
    factors = np.array(list(churn.loads(200, 1)))
    assert factors.shape == (churn.HOURS, 200)
    assert (factors > 0).all()
    middle = factors.mean(axis=1)
    assert middle[4:8].mean() > 1.4 * middle[16:20].mean()
    assert np.array_equal(factors, np.array(list(churn.loads(200, 1))))


def test_each_hour_tells_copies_moves_and_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(churn, "HOURS", 5)
    hours = churn.drift(workload(60, 1), 1)
    assert len(hours) == 4
    for hour in hours:
        assert 0 <= hour.moved <= hour.copies
        assert hour.copies >= 60
        assert hour.devices >= 1
        assert hour.anew >= 1
