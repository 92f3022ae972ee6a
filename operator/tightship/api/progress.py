"""How far a conversion is: the line that its container writes, and that the operator reads."""

import re
from dataclasses import dataclass
from enum import StrEnum

PREFIX = "progress: "
_COUNT = "[1-9][0-9]{0,5}"
_COUNTED = re.compile(rf"(?P<stage>[^,]+), (?P<number>{_COUNT}) of (?P<of>{_COUNT})(: (?P<id>.+))?")
_CANDIDATE = re.compile(r"[A-Za-z0-9.+_-]{1,100}")


class Stage(StrEnum):
    """The stages of a conversion in their order; not every conversion has all of them."""

    INTAKE = "intake"
    SKLEARN = "time against scikit-learn"
    BASELINE = "baseline"
    TRAINER = "look at the trainer"
    NORMALISE = "normalise"
    CANDIDATES = "candidates"
    SEARCH = "search"
    TIME = "time"
    PROVE = "prove in Triton"
    SELECT = "select"


@dataclass(frozen=True, slots=True)
class Position:
    """A stage, and which of its candidates it is at; `number` counts from 1, 0 where none is."""

    stage: Stage
    number: int = 0
    of: int = 0
    candidate: str = ""

    @property
    def place(self) -> str:
        """Without the candidate's name: "candidates, 4 of 11"."""
        return f"{self.stage}, {self.number} of {self.of}" if self.number else str(self.stage)

    @property
    def said(self) -> str:
        """All of it: "candidates, 4 of 11: fp16"."""
        return f"{self.place}: {self.candidate}" if self.candidate else self.place

    @property
    def line(self) -> str:
        """The log line that `read` understands."""
        return f"{PREFIX}{self.said}"


def read(line: str) -> Position | None:
    """What a log line says; None for every other line, whatever it holds."""
    if not line.startswith(PREFIX):
        return None
    told = line.removeprefix(PREFIX)
    if told in tuple(Stage):
        return Position(Stage(told))
    found = _COUNTED.fullmatch(told)
    if found is None or found["stage"] not in tuple(Stage):
        return None
    number, of, candidate = int(found["number"]), int(found["of"]), found["id"] or ""
    if number > of or (candidate and not _CANDIDATE.fullmatch(candidate)):
        return None
    return Position(Stage(found["stage"]), number, of, candidate)
