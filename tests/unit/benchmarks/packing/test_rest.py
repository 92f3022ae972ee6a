from typing import Any

import pytest
from benchmarks.packing import rest


def model(
    name: str, *servers: str, wanted: int = 1, ready: str = "True", placed: str = "True",
    state: str = "Loaded", seen: int = 2, memory: int = 100,
) -> dict[str, Any]:  # fmt: skip
    conditions = [
        {"type": "Ready", "status": ready, "observedGeneration": seen},
        {"type": "Placed", "status": placed, "observedGeneration": seen},
    ]
    return {
        "metadata": {"name": name, "generation": 2},
        "spec": {"serving": {"replicas": wanted}},
        "status": {
            "observedGeneration": seen,
            "conditions": conditions,
            "artifact": {"memory": memory, "maxBatch": 8},
            "placement": [{"server": s, "state": state, "memory": 90} for s in servers],
        },
    }


def pool(*servers: tuple[str, int, int]) -> dict[str, Any]:
    listed = [
        {"name": name, "models": models, "memory": {"capacity": 300, "used": used}}
        for name, models, used in servers
    ]
    return {"status": {"serverList": listed}}


WAITING = model("a", "s1", wanted=2, ready="False", placed="False")


@pytest.mark.parametrize(
    ("given", "calm"),
    [
        (model("a", "s1"), True),
        (WAITING, True),
        (model("a", "s1", ready="Unknown"), False),
        (model("a", "s1", state="Loading"), False),
        (model("a", "s1", seen=1), False),  # the status speaks of another spec
        (model("a", "s1", "s2"), False),  # a copy is leaving
        (model("a"), False),
    ],
)
def test_a_model_rests_with_all_copies_that_it_can_have(
    given: dict[str, Any], *, calm: bool
) -> None:
    assert rest.calm([model("b", "s2"), given]) is calm


def test_a_pool_agrees_when_it_counts_the_same_copies() -> None:
    models = [model("a", "s1"), model("b", "s1", "s2", wanted=2)]
    assert rest.agrees(pool(("s1", 2, 200), ("s2", 1, 100)), models)
    assert not rest.agrees(pool(("s1", 2, 200), ("s2", 2, 200)), models)
    assert not rest.agrees(pool(("s1", 1, 100), ("s2", 1, 100)), models)


def test_who_waits_though_there_is_room_will_not_wait_for_long() -> None:
    assert rest.agrees(pool(("s1", 1, 100), ("s2", 0, 201)), [WAITING])
    assert not rest.agrees(pool(("s1", 1, 100), ("s2", 0, 200)), [WAITING])
    assert rest.agrees(pool(("s1", 1, 100)), [WAITING])  # not twice on one server
