"""Shows a conversion's progress to a person: a bar in a terminal, plain lines anywhere else."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

from tightship.api.progress import Position, Stage
from tightship.optimize.progress import Fact, Progress

_TICK = 1.0  # seconds; a thread would tick finer, and children are forked here
_MEASURING = (Stage.TIME, Stage.PROVE)


@contextmanager
def shown(stream: TextIO) -> Iterator[Progress]:
    """Where facts are to be told; the stream is a terminal's or any other.

    The clock of a bar ticks by SIGALRM, in the main thread.
    """
    if not stream.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        yield _lines(stream)
        return
    bar = _Bar(stream)
    with bar.running():
        yield bar.tell


def _lines(stream: TextIO) -> Progress:
    def tell(fact: Fact) -> None:
        text = f"{fact.said} ..." if isinstance(fact, Position) else f"  {fact.line}"
        stream.write(f"{text}\n")
        stream.flush()

    return tell


class _Bar:
    """One line that is drawn anew; decisions are printed above it and stay."""

    def __init__(self, stream: TextIO) -> None:
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            console=Console(file=stream),
            auto_refresh=False,
            redirect_stdout=False,
            transient=True,
        )
        self._bar.add_task("", total=None)
        self._still = False  # while it is drawn, or something is measured that drawing disturbs

    @contextmanager
    def running(self) -> Iterator[None]:
        """Draw it until the end; the cursor comes back however that comes."""
        before = signal.signal(signal.SIGALRM, self._tick)
        signal.setitimer(signal.ITIMER_REAL, _TICK, _TICK)
        try:
            with self._bar:
                yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def tell(self, fact: Fact) -> None:
        """Draw a position, print anything else."""
        still, self._still = self._still, True
        if isinstance(fact, Position):
            task = self._bar.tasks[0]
            task.total, task.completed = fact.of or None, max(0, fact.number - 1)
            task.description = fact.said
            still = fact.stage in _MEASURING
        else:
            self._bar.console.print(Text(fact.line), soft_wrap=True)
        self._bar.refresh()
        self._still = still

    def _tick(self, _signal: int, _frame: FrameType | None) -> None:
        if not self._still:
            with suppress(RuntimeError):  # another line was being written: the next tick will do
                self._bar.refresh()
