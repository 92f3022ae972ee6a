"""Limits that grow with the model."""

import pytest

from tightship.optimize.budget import GIB, Budget


@pytest.mark.parametrize(("size", "seconds"), [(1, 300), (GIB, 300), (5 * GIB // 2, 750)])
def test_a_stage_of_a_larger_model_may_take_longer(size: int, seconds: float) -> None:
    assert Budget().stage(size) == seconds
