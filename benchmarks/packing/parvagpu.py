"""ParvaGPU's algorithm (SC'24) as its authors published it, to be compared with.

Written after src/configurator.c and src/allocator.c of github.com/MunQ-Lee/ParvaGPU_SC24: for each
model the size with the most items a second by compute slice; as many of it as the rate fills, then
the smallest size that takes the rest; best fit, large slices first; last the devices of little use
are taken apart into sizes 1 and 2. Where the original writes outside of an array because a device
with room has no free place, the next best device is taken here.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from benchmarks.packing.scenarios import LATENCY_SHARE, Cut, Demand, Plan, Row, Use, profiles

_COMPUTE = 7
_LITTLE = 4
_HALF = 3  # two of them, and nothing else fits
_ORDERS: Mapping[int, Sequence[int]] = {
    7: (0,), 4: (0,), 3: (4,), 2: (0, 4, 2), 1: (0, 6, 4, 1, 2, 3, 5),
}  # fmt: skip


@dataclass(slots=True)
class _Device:
    """Slices by the place that the original gives them; not all of them are the hardware's."""

    at: dict[int, tuple[str, Row]] = field(default_factory=dict)

    @property
    def usage(self) -> int:
        return sum(row.size for _, row in self.at.values())

    def place(self, size: int) -> int | None:
        return next((place for place in _ORDERS[size] if place not in self.at), None)


def plan(demands: Sequence[Demand], most_processes: int) -> Plan:
    """The devices that the algorithm cuts for a scenario."""
    best = {one.model: _best(one, most_processes) for one in demands}
    devices = [_Device()]
    segments = [
        (demand.model, row) for demand in demands for row in _matched(demand, best[demand.model])
    ]
    for segment in sorted(segments, key=lambda one: -one[1].size):
        _put(devices, segment)
    _take_apart(devices, best)
    return [
        [Cut(row.size, (Use(model, row.batch, row.processes),)) for model, row in one.at.values()]
        for one in devices
        if one.at
    ]


def _best(demand: Demand, most_processes: int) -> dict[int, Row]:
    """The row with the highest rate of each size that stays below the latency."""
    best: dict[int, Row] = {}
    for row in profiles()[demand.model]:
        usable = row.processes <= most_processes and row.latency < LATENCY_SHARE * demand.slo
        if usable and (row.size not in best or row.rate > best[row.size].rate):
            best[row.size] = row
    if not best:
        raise ValueError(f"no slice serves {demand.model} within {demand.slo} s")
    return best


def _matched(demand: Demand, best: Mapping[int, Row]) -> Iterator[Row]:
    """Demand matching: as many of the best size as are filled, then one for the rest."""
    most = max(best.values(), key=lambda row: (row.rate / row.size, -row.size))
    full = ceil(demand.rate / most.rate) - 1
    yield from [most] * full
    rest = demand.rate - full * most.rate
    yield next(best[size] for size in sorted(best) if rest <= best[size].rate)


def _put(devices: list[_Device], segment: tuple[str, Row]) -> None:
    """Best fit: the first of the devices that leave the least room."""
    size = segment[1].size
    able = [one for one in devices if _COMPUTE - one.usage >= size and _fits(one, size)]
    target = min(able, key=lambda one: _COMPUTE - one.usage, default=None)
    if target is None:
        target = _Device()
        devices.append(target)
    place = target.place(size)
    if place is None:
        raise ValueError(f"no place for a slice of {size}")
    target.at[place] = segment


def _fits(device: _Device, size: int) -> bool:
    halves = [row.size for _, row in device.at.values()].count(_HALF)
    return device.place(size) is not None and not (size == 1 and halves == 2)  # noqa: PLR2004


def _take_apart(devices: list[_Device], best: Mapping[str, Mapping[int, Row]]) -> None:
    """The devices of little use, last first: their rates go into slices of size 1 and 2."""
    owed = dict.fromkeys(best, 0.0)
    for device in reversed(list(devices)):
        if device.usage > _LITTLE:
            continue
        for place in range(_COMPUTE):
            if place not in device.at:
                continue
            model, row = device.at.pop(place)
            owed[model] += row.rate
            for small in _small(best[model], owed[model]):
                owed[model] -= small.rate
                _put(devices, (model, small))


def _small(best: Mapping[int, Row], rate: float) -> Iterator[Row]:
    """Slices of size 1 and 2 for a rate, the better of the two by compute slice."""
    one, two = best.get(1), best.get(2)
    if two is not None and (one is None or two.rate / 2 > one.rate):
        number = ceil(rate / two.rate) if one is None else int(rate // two.rate)
        yield from [two] * max(0, number)
        rate -= max(0, number) * two.rate
    if one is not None:
        yield from [one] * max(0, ceil(rate / one.rate))
