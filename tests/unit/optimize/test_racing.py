"""Who is timed after the quick look."""

import pytest

from tightship.optimize import racing

CASES: dict[str, tuple[dict[str, float], set[str]]] = {
    "nobody": ({}, set()),
    "few, however slow": ({"a": 4.0, "b": 1.1, "c": 1.0, "d": 0.9}, set()),
    "near the fastest": ({"a": 2.0, "b": 1.9, "c": 1.8, "d": 1.7, "e": 1.41}, set()),
    "far behind": ({"a": 2.0, "b": 1.2, "c": 1.3, "d": 1.4, "e": 1.1, "f": 1.39}, {"b", "e"}),
    "equal ones go by name": ({"e": 1.0, "d": 1.0, "c": 1.0, "b": 1.0, "a": 3.0}, {"e"}),
}


@pytest.mark.parametrize("name", CASES)
def test_only_what_is_near_the_fastest_is_timed(name: str) -> None:
    looks, behind = CASES[name]
    found = racing.outpaced(looks)
    assert set(found) == behind
    best = max(looks, key=lambda each: looks[each], default="")
    assert all(f"{best} had x{looks[best]:.2f}" in reason for reason in found.values())
