"""The measured profile of a model, and profile.json (docs/reference/profile.md)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from tightship.api.artifact import PROFILE_SCHEMA


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One combination of batch and concurrency, measured in a closed loop.

    Latencies are seconds as the client saw them, percentiles are observed values (the next higher
    one). `throughput` is samples per second. `server_seconds` is Triton's own mean of one request,
    queue included, and `stages` its parts by name: queue, input, model, output (none in profiles
    of older versions). `busy_seconds` is the time that the instance computed, per request: requests
    that shared a batch share its time. In a profile that was imported it is an upper bound, and
    what the other tool does not tell is None.
    """

    batch: int
    concurrency: int
    requests: int | None
    seconds: float | None
    mean: float
    p50: float | None
    p90: float | None
    p99: float
    throughput: float
    server_seconds: float | None
    busy_seconds: float
    stages: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one instance of a model costs on one kind of server.

    `memory` is the growth in bytes at load, `memory_peak` the growth after all points were
    measured (never below `memory`); both None where it cannot be measured. `load_seconds` is None
    in a profile that was imported without it.
    `memory_source` is "processes" (sum over Triton's processes), "device", "given" or None.
    """

    server: str
    max_batch: int
    load_seconds: float | None
    memory: int | None
    memory_peak: int | None
    memory_source: str | None
    points: tuple[Point, ...]
    schema: int = PROFILE_SCHEMA

    def at(self, batch: int, concurrency: int = 1) -> Point:
        """The point that was measured there.

        Raises:
            KeyError: it was not measured.
        """
        for point in self.points:
            if (point.batch, point.concurrency) == (batch, concurrency):
                return point
        raise KeyError(f"batch {batch} at concurrency {concurrency} was not measured")

    def to_json(self) -> str:
        """The text of profile.json."""
        return json.dumps(asdict(self), indent=1, sort_keys=True) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Profile":
        """Reads profile.json.

        Raises:
            ValueError: not JSON, another schema, or a field is missing or unknown.
        """
        raw = json.loads(text)
        if not isinstance(raw, dict) or raw.get("schema") != PROFILE_SCHEMA:
            raise ValueError(f"not a profile of schema {PROFILE_SCHEMA}")
        try:
            return cls(**{**raw, "points": tuple(Point(**point) for point in raw["points"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a profile: {error}") from error
