"""What slices an accelerator can be cut into, and where on it each of them may lie.

A slice takes some compute and a run of memory slots, which may begin only at certain slots. The
tables are those of `nvidia-smi mig -lgipp`; the profile with media extensions (`+me`), which is as
large as the one without, is left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    Layout = tuple[tuple[str, int], ...]

_MIB = 2**20


@dataclass(frozen=True, slots=True)
class SliceKind:
    """One MIG profile: its name, compute slices, memory slots, and the slots it may begin at."""

    name: str
    compute: int
    span: int
    starts: tuple[int, ...]


@dataclass(frozen=True)
class Geometry:
    """An accelerator that can be cut. `slot_memory` is bytes that a slot gives at least."""

    name: str
    slots: int
    slot_memory: int
    kinds: tuple[SliceKind, ...]

    def kind(self, name: str) -> SliceKind:
        """The kind of that name. Raises KeyError when the accelerator has none."""
        for kind in self.kinds:
            if kind.name == name:
                return kind
        known = ", ".join(kind.name for kind in self.kinds)
        raise KeyError(f"{self.name} has no slice {name!r}: it has {known}")

    def memory(self, name: str) -> int:
        """Bytes that a slice of this kind gives at least."""
        return self.kind(name).span * self.slot_memory

    def layouts(self) -> Mapping[tuple[int, ...], Layout]:
        """Every set of slices that fits the device at once: a legal layout by counts of kinds."""
        return self._layouts

    @cached_property
    def _layouts(self) -> dict[tuple[int, ...], Layout]:
        found: dict[tuple[int, ...], Layout] = {}
        for layout in self._cut(0):
            names = [name for name, _ in layout]
            counts = tuple(names.count(kind.name) for kind in self.kinds)
            found.setdefault(counts, layout)
        return found

    def _cut(self, slot: int) -> Iterator[Layout]:
        """Layouts of the slots from this one on, first slices first."""
        if slot >= self.slots:
            yield ()
            return
        for kind in self.kinds:
            if slot in kind.starts:
                for rest in self._cut(slot + kind.span):
                    yield ((kind.name, slot), *rest)
        yield from self._cut(slot + 1)

    def configurations(self, names: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """The most that a device holds of these kinds: counts, none below another, sorted."""
        places = [[kind.name for kind in self.kinds].index(name) for name in names]
        counts = {tuple(found[place] for place in places) for found in self._layouts}
        return tuple(sorted(one for one in counts if not any(_below(one, two) for two in counts)))

    def layout(self, names: Sequence[str], counts: Sequence[int]) -> Layout:
        """Where that many slices of these kinds lie on one device; others are not made.

        Raises ValueError when they do not fit it together.
        """
        wanted = dict(zip(names, counts, strict=True))
        full = tuple(wanted.get(kind.name, 0) for kind in self.kinds)
        if full not in self._layouts:
            told = " + ".join(f"{count} x {name}" for name, count in wanted.items() if count)
            raise ValueError(f"{told} do not fit a {self.name} together")
        return self._layouts[full]


def _below(one: Sequence[int], other: Sequence[int]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _eighths(name: str, names: Sequence[str], slot_mib: int) -> Geometry:
    """The geometry of A100, H100 and H200: seven compute slices, eight memory slots."""
    shapes = (
        (1, 1, (0, 1, 2, 3, 4, 5, 6)),
        (1, 2, (0, 2, 4, 6)),
        (2, 2, (0, 2, 4)),
        (3, 4, (0, 4)),
        (4, 4, (0,)),
        (7, 8, (0,)),
    )
    kinds = tuple(
        SliceKind(f"{compute}g.{memory}", compute, span, starts)
        for memory, (compute, span, starts) in zip(names, shapes, strict=True)
    )
    return Geometry(name, 8, slot_mib * _MIB, kinds)


A30 = Geometry(
    "A30-24GB", 4, 5952 * _MIB,
    (
        SliceKind("1g.6gb", 1, 1, (0, 1, 2, 3)),
        SliceKind("2g.12gb", 2, 2, (0, 2)),
        SliceKind("4g.24gb", 4, 4, (0,)),
    ),
)  # fmt: skip
A100_40 = _eighths("A100-40GB", ("5gb", "10gb", "10gb", "20gb", "20gb", "40gb"), 4864)
A100_80 = _eighths("A100-80GB", ("10gb", "20gb", "20gb", "40gb", "40gb", "80gb"), 9728)
H100_80 = _eighths("H100-80GB", ("10gb", "20gb", "20gb", "40gb", "40gb", "80gb"), 9728)
H200_141 = _eighths("H200-141GB", ("18gb", "35gb", "35gb", "71gb", "71gb", "141gb"), 16384)
GEOMETRIES = {one.name: one for one in (A30, A100_40, A100_80, H100_80, H200_141)}
"""By name of the accelerator."""
