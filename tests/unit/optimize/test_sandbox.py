"""Children: results, refusals, and crashes as sentences."""

import os
import select
import signal
import subprocess
from pathlib import Path

import pytest
from tests.unit.optimize import children

from tightship.optimize import sandbox, worker
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.sandbox import CrashError, Limits

LIMITS = Limits(seconds=20, memory=2 * 2**30, file_bytes=1 << 20)


@pytest.fixture(autouse=True)
def _children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children run functions of this folder instead of the package's own."""
    monkeypatch.setattr(sandbox, "command", children.command)


def test_result_comes_back(tmp_path: Path) -> None:
    assert sandbox.run("double", {"value": 21}, tmp_path / "s", LIMITS) == {"doubled": 42}


def test_refusal_comes_back_as_refusal(tmp_path: Path) -> None:
    with pytest.raises(RefusalError, match="not this one") as caught:
        sandbox.run("refuse", {}, tmp_path, LIMITS)
    assert caught.value.reason is Reason.UNSAFE_MODEL


CRASHES = {
    "raise_error": (Reason.INTERNAL, "ValueError: a plain reason"),
    "abort": (Reason.INTERNAL, "SIGABRT"),
    "hoard": (Reason.OUT_OF_MEMORY, "more memory"),
    "write_much": (Reason.NO_SPACE, "no space"),
    "say_nothing": (Reason.INTERNAL, "without a word"),
}


@pytest.mark.parametrize("task", CRASHES)
def test_crash_is_a_sentence(task: str, tmp_path: Path) -> None:
    reason, words = CRASHES[task]
    with pytest.raises(CrashError, match=words) as caught:
        sandbox.run(task, {}, tmp_path, LIMITS)
    assert caught.value.reason is reason
    assert "Traceback" not in str(caught.value)


def test_time_is_limited_for_the_whole_family(tmp_path: Path) -> None:
    limits = Limits(seconds=1.5, memory=LIMITS.memory)
    with pytest.raises(CrashError, match="longer than") as caught:
        sandbox.run("hang_with_child", {"file": str(tmp_path / "pid")}, tmp_path / "s", limits)
    assert caught.value.reason is Reason.TIMED_OUT
    pid = int((tmp_path / "pid").read_text())
    assert _ends(pid)


def _ends(pid: int) -> bool:
    try:
        process = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    ended, _, _ = select.select([process], [], [], 10)
    os.close(process)
    return bool(ended)


def test_environment_holds_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    assert "canary" not in " ".join(sandbox.environment(tmp_path).values())
    assert sandbox.environment(tmp_path)["TMPDIR"] == str(tmp_path)
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "canary"


def test_only_functions_of_the_package_are_run() -> None:
    with pytest.raises(ValueError, match="not a task of this package"):
        worker.main("os:system")


class _AtFork:
    """A signal for this process from within a fork's callbacks, when one is wanted."""

    wanted: signal.Signals | None = None

    def __call__(self) -> None:
        number, self.wanted = self.wanted, None
        if number is not None:
            signal.raise_signal(number)


AT_FORK = _AtFork()
os.register_at_fork(after_in_parent=AT_FORK)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_is_interrupted_while_a_child_starts_is_told_and_leaves_none(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[bytes]] = []
    ended = sandbox._end

    def end(child: subprocess.Popen[bytes]) -> None:
        started.append(child)
        ended(child)

    monkeypatch.setattr(sandbox, "_end", end)
    before = signal.signal(number, signal.default_int_handler)
    monkeypatch.setattr(AT_FORK, "wanted", number)
    try:
        with pytest.raises(KeyboardInterrupt):
            sandbox.run("double", {"value": 21}, tmp_path / "s", LIMITS)
        assert signal.getsignal(number) is signal.default_int_handler
    finally:
        signal.signal(number, before)
    assert [child.returncode for child in started] == [-signal.SIGKILL]
