import numpy as np
import pytest
from benchmarks.packing import ours
from benchmarks.packing.placement import fits_memory
from benchmarks.packing.profiles import MAX_BATCH
from benchmarks.packing.workload import workload


def test_the_planner_gets_the_curves_that_the_simulator_has() -> None:
    drawn = workload(40, 1)
    for row, model in enumerate(ours.models(drawn)):
        profile = model.profiles[ours.TYPE]
        largest = int(drawn.max_batch[row])
        told = [profile.latency(batch) for batch in range(1, largest + 1)]
        assert told == pytest.approx(drawn.seconds[row, :largest].tolist())
        assert profile.max_batch == largest <= MAX_BATCH
        assert (model.rate, model.cv, model.slo) == (drawn.rate[row], drawn.cv[row], drawn.slo[row])


def test_other_rules_get_the_planners_choice_for_every_model() -> None:
    drawn = workload(200, 1)
    whole, copies = ours.batching(drawn, kappa=1.0)
    split = whole.split(copies)
    assert (copies >= 1).all()
    assert (split.duty <= 0.75 + 1e-9).all()
    assert (split.max_batch <= drawn.max_batch[split.model]).all()
    assert np.bincount(split.model, weights=split.rate) == pytest.approx(drawn.rate)


def test_a_plan_becomes_a_placement_that_serves_every_rate_within_memory() -> None:
    drawn = workload(150, 2)
    plan = ours.planned(drawn, kappa=1.0)
    placement = ours.placed(plan, drawn)
    assert not plan.waits
    assert placement.devices == len(plan.devices)
    assert fits_memory(placement, drawn)
    assert np.bincount(placement.copies.model, weights=placement.copies.rate) == pytest.approx(
        drawn.rate
    )
    heaviest = int(drawn.memory.argmax())
    (name,) = {ours.models(drawn)[heaviest].name}
    mine = placement.device[placement.copies.model == heaviest]
    assert [plan.devices[at] for at in mine] == list(plan.placement[name])
