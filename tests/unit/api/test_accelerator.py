"""Modes of sharing a device: what each is read as, and why others are refused."""

import pytest
from tests.support import accelerators

from tightship.api.accelerator import Accelerator, Isolation, Sharing
from tightship.api.fields import SpecError
from tightship.api.parse import parse_pool

GI = 2**30

READ = {
    "whole": (Accelerator(memory=22 * GI), Isolation.HARD),
    "whole-amd": (Accelerator(memory=180 * GI, resource_name="amd.com/gpu"), Isolation.HARD),
    "mig": (
        Accelerator(
            memory=9_728 * 2**20,
            resource_name="nvidia.com/mig-1g.10gb.me",
            sharing=Sharing.MIG,
            profile="1g.10gb+me",
        ),
        Isolation.HARD,
    ),
    "mig-single": (
        Accelerator(memory=40 * GI, sharing=Sharing.MIG, profile="3g.40gb"),
        Isolation.HARD,
    ),
    "mps": (
        Accelerator(memory=5 * GI, sharing=Sharing.MPS, replicas=4, compute_percent=20),
        Isolation.MEMORY,
    ),
    "time-slicing": (
        Accelerator(
            memory=10 * GI,
            resource_name="nvidia.com/gpu.shared",
            sharing=Sharing.TIME_SLICING,
            replicas=2,
        ),
        Isolation.NONE,
    ),
    "dra": (
        Accelerator(
            memory=22 * GI, resource_name=None, sharing=Sharing.DRA, claim_template="one-gpu"
        ),
        Isolation.HARD,
    ),
    "hami": (
        Accelerator(memory=3 * GI, sharing=Sharing.HAMI, compute_percent=30),
        Isolation.MEMORY,
    ),
}


@pytest.mark.parametrize("name", accelerators.TAKEN)
def test_each_mode(name: str) -> None:
    wanted, isolation = READ[name]
    found = parse_pool(accelerators.pool(accelerators.TAKEN[name])).accelerator
    assert found == wanted
    assert found is not None
    assert found.isolation is isolation


@pytest.mark.parametrize("name", accelerators.REFUSED)
def test_what_no_node_has_is_refused(name: str) -> None:
    document, says = accelerators.REFUSED[name]
    with pytest.raises(SpecError, match=says) as refused:
        parse_pool(accelerators.pool(document))
    assert str(refused.value).startswith("spec.accelerator")
