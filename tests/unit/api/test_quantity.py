"""Durations, sizes and cores: exact both ways."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.api import quantity

DURATIONS = {"50ms": "0.05", "1m30s": "90", "2.5ms": "0.0025", "0s": "0", "24h": "86400"}
SIZES = {"512Mi": 2**29, "1.5G": 1_500_000_000, 7: 7, "9.5Gi": 19 * 2**29, "16Ti": 2**44}
CORES = {"500m": "0.5", 2: "2", "1.25": "1.25", "0.001": "0.001"}


@pytest.mark.parametrize("text", DURATIONS)
def test_duration(text: str) -> None:
    assert quantity.duration(text) == Fraction(DURATIONS[text])


@pytest.mark.parametrize("value", SIZES)
def test_memory(value: str | int) -> None:
    assert quantity.memory(value) == SIZES[value]


@pytest.mark.parametrize("value", CORES)
def test_cpu(value: str | int) -> None:
    assert quantity.cpu(value) == Fraction(CORES[value])


@pytest.mark.parametrize("text", ["", "5", "5 s", "-1s", "1d", "1µs", "s", "1s\n", "1.s", "1e3s"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        quantity.duration(text)


@pytest.mark.parametrize("text", ["", "1 Gi", "-1Gi", "1gi", "1e3", "Gi", "0x10", "1GiB", ".5Gi"])
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="must be a size"):
        quantity.memory(text)


@pytest.mark.parametrize("text", ["", "1.5m", "-1", "1k", "m", "1e3", "٣"])
def test_no_cores(text: str) -> None:
    with pytest.raises(ValueError, match="must be a number of cores"):
        quantity.cpu(text)


@pytest.mark.parametrize("text", ["", "1%", "-0.1", ".5", "1e-3", "NaN", "inf", "1."])
def test_no_decimal(text: str) -> None:
    with pytest.raises(ValueError, match="must be a decimal number"):
        quantity.decimal(text)


@given(st.integers(1, 2**44))
def test_bytes_survive_their_text(size: int) -> None:
    assert quantity.memory(quantity.memory_text(size)) == size


@given(st.integers(1, 512_000))
def test_cores_survive_their_text(thousandths: int) -> None:
    assert quantity.cpu(quantity.cpu_text(thousandths / 1000)) * 1000 == thousandths
