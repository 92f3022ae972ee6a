"""Random models and fleets, and what every plan of them keeps, tested from the plan alone."""

from collections import Counter

import numpy as np
from hypothesis import strategies as st

from tightship.plan.pack import DeviceType, Execution, Fleet, Model, Plan, Profile, profile
from tightship.plan.pack.columns import columns, curves
from tightship.plan.pack.feasibility import RHO_MAX

GIB = 2**30
KINDS = ("big", "small")


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    if draw(st.integers(0, 9)) == 0:
        return profile([], [], [], memory=GIB, max_batch=1)
    alpha, beta = draw(st.floats(5e-4, 2e-2)), draw(st.floats(1e-5, 5e-3))
    batches = [1, 2, 4, 8][: draw(st.integers(1, 4))]
    return profile(
        batches, [1] * len(batches), [alpha + beta * b for b in batches],
        memory=draw(st.integers(GIB // 4, 12 * GIB)), max_batch=batches[-1],
        load_seconds=draw(st.floats(1, 60)),
    )  # fmt: skip


@st.composite
def models(draw: st.DrawFn, name: str) -> Model:
    least = draw(st.integers(0, 3))
    return Model(
        name=name,
        profiles={kind: draw(profiles()) for kind in KINDS if draw(st.integers(0, 4))},
        rate=draw(st.sampled_from([0.0, 0.1, 5.0, 40.0, 200.0, 1500.0])),
        slo=draw(st.sampled_from([0.005, 0.05, 0.2, 1.0, float("inf")])),
        cv=draw(st.sampled_from([0.5, 1.0, 2.0])),
        min_copies=least,
        max_copies=max(1, least) + draw(st.integers(0, 6)),
        priority=draw(st.sampled_from([1, 100])),
        tolerations=draw(st.sampled_from([frozenset(), frozenset({"gpu"})])),
    )


@st.composite
def workloads(draw: st.DrawFn, most: int = 12) -> list[Model]:
    count = draw(st.integers(1, most))
    return [draw(models(f"m{number:02d}")) for number in range(count)]


@st.composite
def fleets(draw: st.DrawFn) -> Fleet:
    found = []
    for name in KINDS[: draw(st.integers(1, 2))]:
        count = draw(st.integers(0, 12))
        nodes = tuple(f"n{at // 2}" for at in range(draw(st.integers(0, count))))
        closed = draw(st.frozensets(st.integers(0, max(0, count - 1)), max_size=2))
        found.append(
            DeviceType(
                name=name,
                memory={"big": 24 * GIB, "small": 10 * GIB}[name],
                count=count,
                price=draw(st.sampled_from([1.0, 0.4])),
                nodes=nodes,
                per_node=2,
                taints=draw(st.sampled_from([frozenset(), frozenset({"gpu"})])),
                execution=draw(st.sampled_from(Execution)),
                interference=draw(st.sampled_from([0.0, 0.2])),
                closed=frozenset(at for at in closed if at < count),
            )
        )
    return Fleet(types=tuple(found))


def nodes_open(kind: DeviceType) -> int:
    return len({kind.node(at) for at in range(kind.count) if at not in kind.closed})


def check(plan: Plan, asked: list[Model], fleet: Fleet) -> None:
    """Everything that a plan promises of capacity, spread, copies, taints and objectives."""
    known = {model.name: model for model in asked}
    waits = {wait.model: wait for wait in plan.waits}
    assert list(plan.models) == sorted(known)
    assert plan.settings.keys() | waits.keys() >= known.keys()
    _check_devices(plan, known, fleet)
    for name, model in known.items():
        placed = plan.placement.get(name, ())
        setting, wait = plan.settings.get(name), waits.get(name)
        missing = wait.missing if wait and setting else 0
        assert len(placed) == (setting.copies - missing if setting else 0)
        assert len(placed) == len(set(placed)) <= model.max_copies
        if setting:
            _check_copies(plan, model, fleet)
            assert wait or len(placed) >= model.min_copies
            assert wait or model.rate == 0 or placed


def _check_devices(plan: Plan, known: dict[str, Model], fleet: Fleet) -> None:
    for at, (device, names) in enumerate(plan.assignments.items()):
        kind = fleet[device.type]
        assert device.number < kind.count
        assert device.number not in kind.closed
        memory = sum(known[name].profiles[kind.name].memory for name in names)
        assert memory <= kind.memory
        assert plan.memory[at] == memory
        assert plan.rho[at] <= RHO_MAX * (1 + 1e-6)
        assert names
        for name in names:
            assert kind.taints <= known[name].tolerations
            lonely = not known[name].profiles[kind.name].measured and known[name].rate > 0
            assert len(names) == 1 or not lonely or plan.rho[at] <= RHO_MAX * (1 + 1e-6)


def _check_copies(plan: Plan, model: Model, fleet: Fleet) -> None:
    """Copies are of one type and spread over nodes; the objective is kept or a wait says so."""
    placed = plan.placement.get(model.name, ())
    setting = plan.settings[model.name]
    kind = fleet[setting.type]
    assert {device.type for device in placed} <= {kind.name}
    nodes = Counter(kind.node(device.number) for device in placed)
    assert max(nodes.values(), default=0) <= max(1, -(-setting.copies // max(1, nodes_open(kind))))
    told = any(wait.model == model.name for wait in plan.waits)
    predicted = plan.predicted[model.name]
    measured = model.profiles[kind.name].measured
    if placed and measured and not told:
        assert predicted <= model.slo * (1 + 1e-6)
    assert np.isnan(predicted) == (not placed or not measured)


def memory_of(model: Model, kind: DeviceType) -> float:
    """As the planner sees it: the array that everything is packed by."""
    ordered, _ = columns([model])
    return float(curves(ordered, kind).memory[0])
