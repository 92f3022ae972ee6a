"""Children: results, refusals, and crashes as sentences."""

import os
import select
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
