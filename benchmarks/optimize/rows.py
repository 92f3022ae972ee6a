"""One line for each way to a variant: what came out, how fast it is, what it does to the metric."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tightship.optimize.gate.verdict import Verdict

COLUMNS = (
    "variant", "MB", "batch 1", "batch 8", "Triton, batch 1", "Triton, batch 8", "metric",
    "loss, with its interval", "inside gate", "note",
)  # fmt: skip
_NONE = "-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A variant beside its original. A number that is missing could not be measured.

    `look` is the speed-up at batch 1 in a quick look, of what was not timed otherwise.
    """

    name: str
    bytes: int = 0
    bare: Mapping[int, float] = field(default_factory=dict)
    look: float | None = None
    served: Mapping[int, float] = field(default_factory=dict)
    verdict: Verdict | None = None
    note: str = ""

    @property
    def inside(self) -> bool:
        """Whether the gate lets it through."""
        return self.verdict is not None and self.verdict.passes

    def cells(self) -> list[str]:
        """The line of the table, as COLUMNS."""
        found = self.verdict
        return [
            self.name,
            f"{self.bytes / 1e6:.2f}" if self.bytes else _NONE,
            f"{ratio(self.look)} (quick look)" if self.look else ratio(self.bare.get(1)),
            *(ratio(one) for one in (self.bare.get(8), self.served.get(1), self.served.get(8))),
            f"{found.after:.4f}" if found else _NONE,
            f"{found.drop:+.4f} ({found.lower:+.4f} to {found.upper:+.4f})" if found else _NONE,
            {True: "yes", False: "**no**"}[self.inside] if found else _NONE,
            self.note,
        ]


def ratio(value: float | None) -> str:
    """A speed-up; what is slower than the original stands out."""
    if value is None:
        return _NONE
    return f"{value:.2f}x" if value >= 1 else f"**{value:.2f}x**"
