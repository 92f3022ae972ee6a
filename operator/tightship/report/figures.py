"""How figures are written for people: the same digits everywhere."""

from tightship.report.document import Entry, Gate

NONE = "–"  # noqa: RUF001 (an en dash says that there is no figure)
_KIB = 1024


def number(value: float | None, digits: int = 4) -> str:
    """A metric, a loss or a bound with fixed digits."""
    if value is None:
        return NONE
    return f"{value:.{digits}f}" if abs(value) < 1e6 else f"{value:.3e}"  # noqa: PLR2004


def ratio(value: float | None) -> str:
    """A speed-up: "x1.77"."""
    return NONE if value is None else f"x{value:.2f}"


def share(value: float) -> str:
    """A share in percent."""
    return f"{value * 100:.3g} %"


def size(count: float | None) -> str:
    """Bytes in the unit that fits."""
    if count is None:
        return NONE
    for unit in ("B", "KiB", "MiB"):
        if count < _KIB:
            return f"{count:.3g} {unit}" if unit != "B" else f"{count:.0f} B"
        count /= _KIB
    return f"{count:.3g} GiB"


def duration(seconds: float | None) -> str:
    """A duration: "4.39 ms", "20.2 s"."""
    if seconds is None:
        return NONE
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"


def speed(entry: Entry) -> str:
    """A candidate's speed-up and where it was measured."""
    return f"{ratio(entry.speedup)} ({entry.clock})" if entry.clock else NONE


def allowed(gate: Gate) -> str:
    """The gate's demands in one line."""
    found = [f"{gate.loss} of {gate.metric} at most {gate.max_drop:g}"]
    if gate.worst_value is not None:
        found.append(f"no worse than {gate.worst_value:g}")
    if gate.max_class_drop is not None:
        found.append(f"drop of any class' recall at most {gate.max_class_drop:g}")
    if gate.worst_class_value is not None:
        found.append(f"recall of each class at least {gate.worst_class_value:g}")
    return f"{'; '.join(found)}; at {gate.confidence:.0%} confidence"
