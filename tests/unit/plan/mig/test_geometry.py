from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.plan.mig.geometry import A30, A100_80, GEOMETRIES, H100_80, H200_141, Geometry

KINDS = ("1g.10gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb")
CONFIGURATIONS = (
    (0, 0, 0, 0, 1), (0, 0, 1, 1, 0), (0, 0, 2, 0, 0), (0, 2, 1, 0, 0), (1, 1, 0, 1, 0),
    (1, 3, 0, 0, 0), (2, 1, 1, 0, 0), (3, 0, 0, 1, 0), (3, 2, 0, 0, 0), (4, 0, 1, 0, 0),
    (5, 1, 0, 0, 0), (7, 0, 0, 0, 0),
)  # fmt: skip


def test_the_most_that_an_a100_can_be_cut_into() -> None:
    assert A100_80.configurations(KINDS) == CONFIGURATIONS


@pytest.mark.parametrize(
    ("counts", "layout"),
    [
        ((0, 0, 1, 1, 0), (("4g.40gb", 0), ("3g.40gb", 4))),
        ((0, 0, 2, 0, 0), (("3g.40gb", 0), ("3g.40gb", 4))),
        ((7, 0, 0, 0, 0), tuple(("1g.10gb", slot) for slot in range(7))),
        ((1, 1, 1, 0, 0), None),  # in some legal place: see below
        ((1, 0, 2, 0, 0), "1 x 1g.10gb + 2 x 3g.40gb do not fit a A100-80GB together"),
        ((0, 0, 0, 2, 0), "2 x 4g.40gb do not fit"),
        ((1, 0, 0, 0, 1), "1 x 1g.10gb + 1 x 7g.80gb do not fit"),
        ((0, 4, 0, 0, 0), "4 x 2g.20gb do not fit"),
        ((8, 0, 0, 0, 0), "8 x 1g.10gb do not fit"),
    ],
)
def test_what_fits_together(
    counts: tuple[int, ...], layout: str | tuple[tuple[str, int], ...] | None
) -> None:
    if isinstance(layout, str):
        with pytest.raises(ValueError, match=layout.replace("+", r"\+")):
            A100_80.layout(KINDS, counts)
        return
    found = A100_80.layout(KINDS, counts)
    assert layout in (found, None)
    assert tuple(sum(name == kind for name, _ in found) for kind in KINDS) == counts


@pytest.mark.parametrize(
    ("geometry", "most"),
    [
        (A100_80, (7, 4, 3, 2, 1, 1)),
        (H100_80, (7, 4, 3, 2, 1, 1)),
        (H200_141, (7, 4, 3, 2, 1, 1)),
        (A30, (4, 2, 1)),
    ],
)
def test_as_many_instances_as_nvidias_table_has(geometry: Geometry, most: tuple[int, ...]) -> None:
    layouts = geometry.layouts()
    assert tuple(max(counts[place] for counts in layouts) for place in range(len(most))) == most


@given(st.sampled_from(sorted(GEOMETRIES)), st.data())
def test_slices_of_a_layout_begin_where_they_may_and_are_apart(
    name: str, data: st.DataObject
) -> None:
    geometry = GEOMETRIES[name]
    layout = data.draw(st.sampled_from(sorted(geometry.layouts().values())))
    runs = sorted((start, start + geometry.kind(kind).span) for kind, start in layout)
    assert all(start in geometry.kind(kind).starts for kind, start in layout)
    assert all(end <= start for (_, end), (start, _) in pairwise(runs))
    assert all(end <= geometry.slots for _, end in runs)
    most = max(kind.compute for kind in geometry.kinds)
    assert sum(geometry.kind(kind).compute for kind, _ in layout) <= most


def test_a_kind_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(KeyError, match=r"A30-24GB has no slice '3g.40gb': it has 1g.6gb, 2g.12gb"):
        A30.kind("3g.40gb")


def test_memory_is_that_of_the_slots() -> None:
    assert H200_141.memory("1g.35gb") == 2 * H200_141.memory("1g.18gb")
    assert A100_80.memory("3g.40gb") == A100_80.memory("4g.40gb") == 4 * 9728 * 2**20
