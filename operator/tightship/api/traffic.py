"""What clients ask of one loaded model, as an agent tells it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Requests to one copy over the last minute, by Triton's own counters.

    Attributes:
        rate: requests answered a second.
        rows: samples of a request, on average; 0 where there was none.
        batch: samples of an execution, on average; 0 where there was none.
        busy: seconds that an execution computes, on average; 0 where there was none.
        cv: coefficient of variation of the times between requests, of the last five minutes; 1 is
            that of requests that know nothing of each other. None: too few to tell.
    """

    rate: float
    rows: float = 0.0
    batch: float = 0.0
    busy: float = 0.0
    cv: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The wire form."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Traffic:
        """Reads the wire form; unknown fields of a newer agent are passed over.

        Raises:
            TypeError: a field is missing or of the wrong type.
        """
        known = {name: raw[name] for name in cls.__slots__ if raw.get(name) is not None}
        return cls(**{name: float(value) for name, value in known.items()})
