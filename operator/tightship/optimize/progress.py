"""What a conversion tells while it runs: a stream of small facts, each of which is one line."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from tightship.api.progress import Position
from tightship.optimize.candidate import Candidate


@dataclass(frozen=True, slots=True)
class Decided:
    """What has just become of a candidate: a word of `Status`, and one sentence."""

    candidate: str
    status: str
    reason: str

    @property
    def line(self) -> str:
        """For people; a library's words in it bring no control characters."""
        text = f"{self.candidate}: {self.status}" + (f", {self.reason}" if self.reason else "")
        return _plain(text)


@dataclass(frozen=True, slots=True)
class Noted:
    """Anything else that is worth a line while it happens."""

    text: str

    @property
    def line(self) -> str:
        """For people."""
        return _plain(self.text)


Fact = Position | Decided | Noted
Progress = Callable[[Fact], None]


def decided(candidate: Candidate) -> Decided:
    """The fact that a candidate has come so far."""
    look = candidate.look
    so_far = f"x{look:.2f} in a quick look" if candidate.alive and look is not None else ""
    return Decided(candidate.id, candidate.status.value, candidate.reason or so_far)


def refused(candidates: Iterable[Candidate]) -> list[Decided]:
    """Of candidates that were alive, those that are not any more."""
    return [decided(candidate) for candidate in candidates if not candidate.alive]


def _plain(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)
