from dataclasses import replace

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.plan.pack.invariants import GIB, KINDS, fleets, models, workloads

from tightship.plan.pack import (
    Change,
    Device,
    DeviceType,
    Fleet,
    Model,
    Move,
    Plan,
    Profile,
    Reason,
    pack,
    profile,
    replan,
)
from tightship.plan.pack.feasibility import RHO_MAX
from tightship.plan.pack.placing import HYSTERESIS


def _curve(memory: int = GIB) -> dict[str, Profile]:
    made = profile([1, 2, 4, 8], [1] * 4, [0.0025, 0.003, 0.004, 0.006], memory=memory, max_batch=8)
    return {"gpu": made}


def _model(name: str, *, memory: int = GIB, rate: float = 20.0, **more: object) -> Model:
    one = Model(name=name, profiles=_curve(memory), rate=rate, slo=0.1)
    return replace(one, **more)  # type: ignore[arg-type]


def _fleet(count: int = 10, **more: object) -> Fleet:
    kind = DeviceType(name="gpu", memory=16 * GIB, count=count)
    return Fleet(types=(replace(kind, **more),))  # type: ignore[arg-type]


MANY = [_model(f"m{at}", memory=4 * GIB) for at in range(12)]


def test_nothing_moves_where_nothing_has_changed() -> None:
    present = pack(MANY, _fleet())
    change = replan(present, MANY, _fleet())
    assert change.moves == ()
    assert change.plan.assignments == present.assignments


def test_small_changes_of_load_move_nothing() -> None:
    present = pack(MANY, _fleet())
    busier = [replace(model, rate=model.rate * 1.1) for model in MANY]
    assert replan(present, busier, _fleet()).moves == ()


def test_a_new_model_comes_and_an_old_one_goes_without_moving_others() -> None:
    present = pack(MANY, _fleet())
    change = replan(present, [*MANY[1:], _model("new")], _fleet(), budget=0.0)
    (gone,) = present.placement["m0"]
    (came,) = change.plan.placement["new"]
    assert change.moves == (Move("m0", gone, None), Move("new", None, came))
    assert (change.forced, change.voluntary) == (0, 0)


def test_more_load_gives_more_copies_and_less_load_fewer() -> None:
    quiet, busy = _model("m", rate=50.0), _model("m", rate=2500.0)
    present = pack([quiet], _fleet())
    grown = replan(present, [busy], _fleet())
    assert len(grown.plan.placement["m"]) > 1
    assert set(present.placement["m"]) <= set(grown.plan.placement["m"])
    assert len(replan(grown.plan, [quiet], _fleet()).plan.placement["m"]) == 1


def test_a_device_that_breaks_objectives_loses_only_what_it_must() -> None:
    asked = [_model(f"m{at}", rate=70.0) for at in range(8)]
    present = pack(asked, _fleet())
    assert len(present.devices) == 1
    busier = [replace(model, rate=140.0) for model in asked]
    change = replan(present, busier, _fleet())
    assert 0 < change.forced < 8
    assert (change.plan.p99 <= change.plan.slo * (1 + HYSTERESIS)).all()


def test_what_was_on_a_lost_device_is_loaded_elsewhere() -> None:
    present = pack(MANY, _fleet())
    lost = present.devices[0]
    fleet = _fleet(closed=frozenset({lost.number}))
    change = replan(present, MANY, fleet, lost=[lost])
    assert {move.source for move in change.moves} == {None}
    assert lost not in change.plan.devices
    assert {move.model for move in change.moves} == set(present.assignments[lost])


def test_a_closed_device_is_emptied_by_moves() -> None:
    present = pack(MANY, _fleet())
    closed = present.devices[0]
    change = replan(present, MANY, _fleet(closed=frozenset({closed.number})))
    assert {move.source for move in change.moves} == {closed}
    assert all(move.target for move in change.moves)
    assert change.forced == len(change.moves) == len(present.assignments[closed])


def test_without_room_elsewhere_a_closed_device_keeps_serving_and_is_told() -> None:
    asked = [_model("a", memory=12 * GIB), _model("b", memory=12 * GIB)]
    present = pack(asked, _fleet(2))
    change = replan(present, asked, _fleet(2, closed=frozenset({1})))
    assert change.moves == ()
    assert [wait.reason for wait in change.plan.waits] == [Reason.NO_ROOM_TO_MOVE]


def test_what_has_grown_beyond_its_device_goes_rather_than_exceed_it() -> None:
    asked = [_model("first", memory=9 * GIB), _model("last", memory=6 * GIB, priority=1)]
    present = pack(asked, _fleet(1))
    grown = [replace(asked[0], profiles=_curve(11 * GIB)), asked[1]]
    change = replan(present, grown, _fleet(1))
    assert [(wait.model, wait.reason) for wait in change.plan.waits] == [("last", Reason.NO_ROOM)]
    assert change.moves == (Move("last", Device("gpu", 0), None),)


def test_memory_of_a_copy_that_leaves_is_not_given_away_before_it_has_gone() -> None:
    big = [_model("a", memory=10 * GIB), _model("b", memory=10 * GIB)]
    present = pack(big, _fleet(2))
    change = replan(present, [big[0], _model("c", memory=10 * GIB)], _fleet(2))
    assert [(wait.model, wait.reason) for wait in change.plan.waits] == [("c", Reason.NO_ROOM)]
    after = replan(change.plan, [big[0], _model("c", memory=10 * GIB)], _fleet(2))
    assert after.plan.waits == ()


def test_in_a_full_pool_the_higher_priority_takes_the_room_in_a_second_wave() -> None:
    low = [_model(f"low{at}", memory=8 * GIB, priority=1) for at in range(4)]
    present = pack(low, _fleet(2))
    change = replan(present, [*low, _model("high", memory=8 * GIB)], _fleet(2))
    (wait,) = change.plan.waits
    assert (wait.reason, wait.model[:3], wait.missing) == (Reason.NO_ROOM, "low", 1)
    waves = {move.model: move.wave for move in change.moves}
    assert waves == {"high": 1, wait.model: 0}


def test_equal_priority_displaces_no_one() -> None:
    present = pack(MANY[:8], _fleet(2))
    change = replan(present, [*MANY[:8], _model("new", memory=4 * GIB)], _fleet(2))
    assert change.moves == ()
    assert [wait.model for wait in change.plan.waits] == ["new"]


@pytest.mark.parametrize(("budget", "moved"), [(0.0, 0), (0.1, 0), (0.4, 2), (1.0, 2)])
def test_devices_are_saved_within_the_budget(budget: float, moved: int) -> None:
    left = [model for model in MANY if model.name not in _half(pack(MANY, _fleet(3)))]
    present = replan(pack(MANY, _fleet(3)), left, _fleet(3), budget=0.0).plan
    change = replan(present, left, _fleet(3), budget=budget)
    assert change.voluntary == moved
    assert len(change.plan.devices) == (2 if moved else 3)


def test_a_device_that_holds_more_than_the_budget_is_emptied_over_several_changes() -> None:
    left = [model for model in MANY if model.name not in _half(pack(MANY, _fleet(3)))]
    present = replan(pack(MANY, _fleet(3)), left, _fleet(3), budget=0.0).plan
    first = replan(present, left, _fleet(3), budget=0.2)
    assert (first.voluntary, len(first.plan.devices)) == (1, 3)
    second = replan(first.plan, left, _fleet(3), budget=0.2)
    assert (second.voluntary, len(second.plan.devices)) == (1, 2)


def _half(present: Plan) -> set[str]:
    """Two models of each device."""
    return {name for names in present.assignments.values() for name in names[:2]}


def test_loads_that_take_longer_than_a_device_is_saved_for_are_not_worth_it() -> None:
    slow = [
        replace(
            model, profiles={k: replace(p, load_seconds=1e5) for k, p in model.profiles.items()}
        )
        for model in MANY
    ]
    left = [model for model in slow if model.name not in _half(pack(slow, _fleet(3)))]
    present = replan(pack(slow, _fleet(3)), left, _fleet(3), budget=0.0).plan
    assert replan(present, left, _fleet(3), budget=1.0).voluntary == 0


def test_a_type_that_no_longer_suits_is_left_for_another() -> None:
    both = {**_curve(), "spare": _curve()["gpu"]}
    asked = [_model("m", profiles=both)]
    fleet = Fleet(types=(*_fleet().types, replace(_fleet().types[0], name="spare", price=2.0)))
    present = pack(asked, fleet)
    change = replan(present, [replace(asked[0], profiles={"spare": both["spare"]})], fleet)
    assert change.moves == (Move("m", Device("gpu", 0), Device("spare", 0)),)


def test_refuses_a_budget_that_is_no_share() -> None:
    with pytest.raises(ValueError, match="budget"):
        replan(pack(MANY, _fleet()), MANY, _fleet(), budget=8)


class Reconciled(RuleBasedStateMachine):
    """A fleet under events: after each one a change is carried out, wave by wave."""

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[str, Model] = {}
        self.fleet = Fleet(types=())
        self.change: Change | None = None

    @initialize(asked=workloads(8), fleet=fleets())
    def begin(self, asked: list[Model], fleet: Fleet) -> None:
        self.models = {model.name: model for model in asked}
        self.fleet = fleet
        self.plan = pack(asked, fleet)

    @rule(factor=st.floats(0.2, 4.0), budget=st.sampled_from([0.0, 0.1, 1.0]))
    def load(self, factor: float, budget: float) -> None:
        for name, model in sorted(self.models.items())[::2]:
            self.models[name] = replace(model, rate=model.rate * factor)
        self.step(budget)

    @rule(number=st.integers(0, 30), drawn=st.data())
    def add(self, number: int, drawn: st.DataObject) -> None:
        name = f"m{number:02d}"
        self.models[name] = drawn.draw(models(name))
        self.step()

    @rule(at=st.integers(0, 30))
    @precondition(lambda self: len(self.models) > 1)
    def remove(self, at: int) -> None:
        del self.models[sorted(self.models)[at % len(self.models)]]
        self.step()

    @rule(kind=st.sampled_from(KINDS), number=st.integers(0, 11), lost=st.booleans())
    def close(self, kind: str, number: int, lost: bool) -> None:  # noqa: FBT001 drawn
        gone = Device(kind, number)
        self.edit(kind, number, lambda closed: closed | {number})
        self.step(lost=[gone] if lost else [])

    @rule(kind=st.sampled_from(KINDS), number=st.integers(0, 11))
    def open(self, kind: str, number: int) -> None:
        self.edit(kind, number, lambda closed: closed - {number})
        self.step()

    def edit(self, kind: str, number: int, change: object) -> None:
        self.fleet = Fleet(
            types=tuple(
                replace(one, closed=frozenset(change(one.closed)))  # type: ignore[operator]
                if one.name == kind and number < one.count
                else one
                for one in self.fleet.types
            )
        )

    def step(self, budget: float = 0.1, lost: list[Device] | None = None) -> None:
        before = self.plan
        asked = list(self.models.values())
        change = replan(before, asked, self.fleet, budget=budget, lost=lost or [])
        total = len(change.plan.model)
        assert change.voluntary <= max(0, int(budget * total) - change.forced)
        moved = sum(bool(move.source and move.target) for move in change.moves)
        assert moved <= change.forced + change.voluntary + self.retyped(before, change)
        self.carry_out(before, change, set(lost or []))
        self.plan, self.change = change.plan, change

    def retyped(self, before: Plan, change: Change) -> int:
        """Copies of models that had to leave their type, or settled on fewer or other devices."""
        return sum(
            len(devices)
            for name, devices in before.placement.items()
            if name in change.plan.settings and change.plan.settings[name] != before.settings[name]
        )

    def carry_out(self, before: Plan, change: Change, lost: set[Device]) -> None:
        """Wave by wave: everything of a wave is loaded before anything of it goes."""
        held = {device: set(names) for device, names in before.assignments.items()}
        for device in lost:
            held.pop(device, None)
        for wave in (0, 1):
            moves = [move for move in change.moves if move.wave == wave]
            for move in moves:
                if move.target:
                    self.comes(held, move)
            for move in moves:
                if move.source:
                    held[move.source].remove(move.model)
            self.ready(held, before, change)
        told = {device: tuple(sorted(names)) for device, names in held.items() if names}
        assert told == change.plan.assignments

    def comes(self, held: dict[Device, set[str]], move: Move) -> None:
        """Memory is never exceeded by what comes, both copies of a move counted."""
        device = move.target
        assert device is not None
        there = held.setdefault(device, set())
        assert move.model not in there
        there.add(move.model)
        kind = self.fleet[device.type]
        known = [self.models[name] for name in there if name in self.models]
        sizes = [m.profiles[kind.name].memory for m in known if kind.name in m.profiles]
        fitting = [size for size in sizes if size <= kind.memory]  # else it leaves, as it was
        assert sum(fitting) <= kind.memory
        assert self.models[move.model].profiles[kind.name].memory <= kind.memory
        assert device.number not in kind.closed

    def ready(self, held: dict[Device, set[str]], before: Plan, change: Change) -> None:
        """Never fewer copies than before or than wanted, but for models that were displaced."""
        displaced = {wait.model for wait in change.plan.waits if wait.missing}
        for name in self.models.keys() - displaced:
            had = sum(name in names for names in before.assignments.values())
            wanted = len(change.plan.placement.get(name, ()))
            have = sum(name in names for names in held.values())
            alive = sum(device in held for device in before.placement.get(name, ()))
            later = sum(move.model == name and move.wave == 1 for move in change.moves)
            assert have >= min(had, wanted, alive) - later

    @invariant()
    def kept(self) -> None:
        plan = self.plan
        told = {wait.model for wait in plan.waits}
        for device, names, rho in zip(
            plan.devices, plan.assignments.values(), plan.rho, strict=True
        ):
            kind = self.fleet[device.type]
            sound = not told & set(names)
            assert device.number not in kind.closed or not sound
            known = [self.models[name] for name in names]
            assert sum(m.profiles[kind.name].memory for m in known) <= kind.memory
            assert rho <= RHO_MAX * (1.03 + 1e-6) or not sound
        for name, model in self.models.items():
            placed = plan.placement.get(name, ())
            beside = {other for device in placed for other in plan.assignments[device]}
            late = plan.predicted[name] > model.slo * (1 + HYSTERESIS + 1e-6)
            assert not late or told & beside
            assert len(placed) >= model.min_copies or name in told
            assert len(placed) <= model.max_copies
            assert np.isnan(plan.predicted[name]) or placed


Reconciled.TestCase.settings = settings(max_examples=25, stateful_step_count=12, deadline=None)
TestChanges = Reconciled.TestCase
