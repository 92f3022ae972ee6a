"""Progress as people see it: a bar in a terminal, lines elsewhere."""

import fcntl
import io
import os
import pty
import signal
import struct
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from tightship.api.progress import Position, Stage
from tightship.optimize import terminal
from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.progress import Decided, Noted, decided, refused

FACTS = (
    Position(Stage.BASELINE),
    Position(Stage.CANDIDATES, 1, 2, "fp16"),
    Decided("fp16", "tooSlow", "x0.80 of the original's speed [bold]in a quick look[/bold]"),
    Noted("2 candidates came from the cache"),
    Position(Stage.TIME),
)
HIDDEN, SHOWN = "\x1b[?25l", "\x1b[?25h"


@contextmanager
def screen() -> Iterator[tuple[TextIO, int]]:
    """A terminal of 100 columns, and where to read what was drawn on it."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with open(theirs, "w", encoding="utf-8") as stream:  # noqa: PTH123 (a descriptor)
        yield stream, ours
    os.close(ours)


def drawn(ours: int, until: str) -> str:
    text = ""
    while until not in text:
        text += os.read(ours, 65536).decode()
    return text


def test_no_terminal_gets_plain_lines() -> None:
    stream = io.StringIO()
    with terminal.shown(stream) as progress:
        for fact in FACTS:
            progress(fact)
    assert stream.getvalue().splitlines() == [
        "baseline ...",
        "candidates, 1 of 2: fp16 ...",
        "  fp16: tooSlow, x0.80 of the original's speed [bold]in a quick look[/bold]",
        "  2 candidates came from the cache",
        "time ...",
    ]


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with screen() as (stream, ours):
        with terminal.shown(stream) as progress:
            progress(FACTS[0])
        assert drawn(ours, "...").strip() == "baseline ..."


def test_a_terminal_gets_a_bar_and_the_decisions_above_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    with screen() as (stream, ours):
        with terminal.shown(stream) as progress:
            for fact in FACTS:
                progress(fact)
        text = drawn(ours, SHOWN)
    assert text.startswith(HIDDEN)
    assert "candidates, 1 of 2: fp16" in text
    assert "[bold]in a quick look[/bold]\r\n" in text
    assert "━" in text


def test_a_bar_is_drawn_anew_but_while_something_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(terminal, "_TICK", 0.02)
    with screen() as (stream, ours):
        with terminal.shown(stream) as progress:
            progress(FACTS[0])
            drawn(ours, "baseline")
            assert "baseline" in drawn(ours, "baseline")  # by the clock alone
            progress(Position(Stage.TIME))
            os.set_blocking(ours, False)
            drawn(ours, " time ")
            signal.raise_signal(signal.SIGALRM)
            with pytest.raises(BlockingIOError):
                os.read(ours, 1)
            os.set_blocking(ours, True)
        drawn(ours, SHOWN)


def interrupted(stream: TextIO) -> None:
    with terminal.shown(stream) as progress:
        progress(FACTS[0])
        raise KeyboardInterrupt


def test_the_cursor_comes_back_and_the_clock_stops_when_it_is_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    before = signal.getsignal(signal.SIGALRM)
    with screen() as (stream, ours):
        with pytest.raises(KeyboardInterrupt):
            interrupted(stream)
        assert drawn(ours, SHOWN)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_decision_names_what_is_known() -> None:
    passed = Candidate("a", "Quantize", verdicts={"lookSpeedup": 1.234})
    failed = Candidate("b", "Quantize", status=Status.ERROR, reason="it\x1b[2Jcrashed")
    assert decided(passed).line == "a: passed, x1.23 in a quick look"
    assert [fact.line for fact in refused([passed, failed])] == ["b: error, it [2Jcrashed"]
