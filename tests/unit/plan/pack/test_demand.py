from collections.abc import Callable

import pytest

from tightship.plan.pack.demand import Device, DeviceType, Fleet, Model


def test_devices_lie_on_the_nodes_that_are_named_and_then_on_new_ones() -> None:
    kind = DeviceType(name="a100", memory=1, count=9, nodes=("n1", "n1", "n2"), per_node=2)
    assert [kind.node(i) for i in range(6)] == ["n1", "n1", "n2", "a100+0", "a100+0", "a100+1"]
    assert str(Device("a100", 3)) == "a100/3"


def test_a_fleet_finds_types_by_name_and_tells_them_sorted() -> None:
    fleet = Fleet(types=(_kind("b"), _kind("a")))
    assert fleet.names == ("a", "b")
    assert fleet["b"].name == "b"
    assert fleet == Fleet(types=(_kind("b"), _kind("a")))


def _kind(name: str) -> DeviceType:
    return DeviceType(name=name, memory=1, count=1)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: Fleet(types=(_kind("a"), _kind("a"))), "share a name"),
        (lambda: DeviceType(name="a", memory=0, count=1), "memory"),
        (lambda: DeviceType(name="a", memory=1, count=1, price=0), "price"),
        (lambda: DeviceType(name="a", memory=1, count=1, interference=-1), "interference"),
        (lambda: Model(name="m", profiles={}, rate=float("inf")), "rate"),
        (lambda: Model(name="m", profiles={}, rate=1, slo=0), "slo"),
        (lambda: Model(name="m", profiles={}, rate=1, cv=-1), "cv"),
        (lambda: Model(name="m", profiles={}, rate=1, min_copies=3, max_copies=2), "copies"),
    ],
)
def test_refuses_what_cannot_be_planned(make: Callable[[], object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make()
