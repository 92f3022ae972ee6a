"""Everything that a conversion found, and the seconds that its stages took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tightship.api.job import JobRequest
from tightship.api.progress import Position, Stage
from tightship.drift.reference import Reference
from tightship.optimize import serving
from tightship.optimize.candidate import Candidate
from tightship.optimize.intake import Intake
from tightship.optimize.metrics import registry
from tightship.optimize.metrics.base import Traits
from tightship.optimize.progress import Progress
from tightship.optimize.proof import Outcome
from tightship.optimize.search.explore import Found
from tightship.optimize.selection import Ranking
from tightship.optimize.tabular.speed import Speed
from tightship.optimize.timing import Timings


@dataclass(slots=True)
class Conversion:
    """Everything that a conversion found; the report and the artifact are made of it."""

    request: JobRequest
    intake: Intake
    original: Path
    config: serving.ServingFile
    candidates: list[Candidate] = field(default_factory=list)
    baseline: dict[str, Any] = field(default_factory=dict)
    normalised: dict[str, Any] = field(default_factory=dict)
    timings: Timings | None = None
    ranking: Ranking = field(default_factory=lambda: Ranking(order=(), refused={}))
    outcome: Outcome | None = None
    chosen: Candidate | None = None  # None: the original
    warnings: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    searched: Found | None = None
    unjudged: str = ""  # why no candidate could be judged
    sklearn_speed: Speed | None = None  # of the original against scikit-learn itself
    reference: Reference | None = None  # what inputs and the chosen model's answers look like

    @property
    def metric(self) -> Traits:
        """Of the task metric, or of the agreement with the original."""
        if self.intake.own is not None:
            return self.intake.own.traits
        return registry.traits(self.request.metric if self.intake.evaluation else None)

    @contextmanager
    def stage(self, stage: Stage, progress: Progress) -> Iterator[None]:
        """Tell and time one stage."""
        progress(Position(stage))
        with self.timed(stage.value):
            yield

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Keep the seconds that something took."""
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 2)


def timings_json(conversion: Conversion) -> dict[str, Any] | None:
    """The runtime's figures of the original, for the report."""
    timings = conversion.timings
    if timings is None:
        return None
    return {
        "clock": timings.clock,
        "rounds": timings.rounds,
        "noise": timings.noise,
        "original": asdict(timings.baseline),
        "batch": timings.batch,
        "batched": asdict(timings.batched),
        "memory": timings.memory,
    }
