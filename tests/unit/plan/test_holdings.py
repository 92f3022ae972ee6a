"""Memory of models: by their profiles, and by what loading them took where that was more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.plan.world import MIB, World, model_spec, pool_spec

from tightship.api.agent import HeldModel, LoadState, ModelAssignment, ServingConfig
from tightship.plan.fleet import Sight
from tightship.plan.holdings import need, usage
from tightship.plan.placement import Standing

ENTRY = ModelAssignment(name="a", key="k", digest="d", memory=200, config=ServingConfig())
LOADED = HeldModel(name="a", state=LoadState.LOADED, digest="d", config=ServingConfig())


@pytest.mark.parametrize(
    ("entry", "held", "bytes_used"),
    [
        pytest.param(ENTRY, None, 200, id="assigned"),
        pytest.param(ENTRY, LOADED, 200, id="not-measured"),
        pytest.param(ENTRY, replace(LOADED, memory=150), 200, id="took-less"),
        pytest.param(ENTRY, replace(LOADED, memory=230), 230, id="took-more"),
        pytest.param(ENTRY, replace(LOADED, digest="old", memory=90), 290, id="beside-the-former"),
        pytest.param(None, replace(LOADED, memory=230), 230, id="going"),
        pytest.param(None, LOADED, 0, id="going-not-measured"),
    ],
)
def test_usage(entry: ModelAssignment | None, held: HeldModel | None, bytes_used: int) -> None:
    assigned = {"a": entry} if entry else {}
    assert usage(assigned, {"a": held} if held else {}) == bytes_used


def test_what_loading_took_decides_what_fits_beside_it() -> None:
    """200 and 250 MiB fit into 500 by their profiles; the first one took 300."""
    world = World(pool_spec(room=500, servers=(1, 2)))
    world.memory = lambda uri: 200 * MIB if uri.endswith("1") else 250 * MIB
    world.swelling = 1.5
    world.add("a", model_spec("s3://m/1"))
    world.settle()
    world.add("b", model_spec("s3://m/2"))
    world.settle()
    assert world.servers_of("a") != world.servers_of("b")
    (placed,) = world.models["a"].status["placement"]
    assert placed["memory"] == 300 * MIB


def _sight(held: HeldModel | None) -> Sight:
    return Sight("s", Standing.OPEN, True, False, ENTRY, held, True, True, True)


@pytest.mark.parametrize(
    ("held", "bytes_needed"),
    [
        pytest.param((), 200, id="nowhere-yet"),
        pytest.param((None, LOADED), 200, id="not-measured"),
        pytest.param((replace(LOADED, memory=150),), 200, id="took-less"),
        pytest.param((replace(LOADED, memory=230), replace(LOADED, memory=250)), 250, id="most"),
        pytest.param((replace(LOADED, digest="old", memory=900),), 200, id="another-version"),
    ],
)
def test_what_a_further_copy_needs(held: tuple[HeldModel | None, ...], bytes_needed: int) -> None:
    assert need(ENTRY, [_sight(each) for each in held]) == bytes_needed
