"""What confined code cannot do: tried by a real child in Landlock."""

import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.optimize import children

from tightship.optimize import confine, sandbox
from tightship.optimize.sandbox import CrashError, Limits
from tightship.storage import StorageError

LIMITS = Limits(seconds=30, memory=2 * 2**30, file_bytes=1 << 20)
pytestmark = pytest.mark.skipif(not confine.abi(), reason="this kernel has no Landlock")


@pytest.fixture(autouse=True)
def _children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "command", children.command)


def _tried(tmp_path: Path, **payload: Any) -> str:  # noqa: ANN401 (JSON)
    found = sandbox.run_confined("attempt", payload, tmp_path / "inside", LIMITS)
    return str(found["outcome"])


def test_its_own_folder_may_be_written(tmp_path: Path) -> None:
    file = tmp_path / "inside" / "file"
    assert _tried(tmp_path, what="write", path=str(file)) == "done"
    assert file.read_text() == "x"


@pytest.mark.parametrize("what", ["write", "append", "mkdir", "unlink", "symlink", "rename"])
def test_nothing_else_is_changed(what: str, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    canary.write_text("alive")
    path = canary if what in ("append", "unlink", "rename") else tmp_path / "new"
    assert _tried(tmp_path, what=what, path=str(path)) in ("PermissionError", "OSError")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["canary", "inside"]
    assert canary.read_text() == "alive"


def test_no_program_is_started(tmp_path: Path) -> None:
    assert _tried(tmp_path, what="program", path="/bin/true") == "PermissionError"


@pytest.mark.skipif(confine.abi() < 4, reason="this kernel does not confine TCP")
def test_no_connection_is_opened(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert _tried(tmp_path, what="connect", path=str(port)) == "PermissionError"


@pytest.mark.skipif(confine.abi() < 6, reason="this kernel does not confine signals")
def test_its_parent_is_not_signalled(tmp_path: Path) -> None:
    assert _tried(tmp_path, what="signal", path=str(os.getpid())) == "PermissionError"


def test_its_parents_memory_is_not_read(tmp_path: Path) -> None:
    path = f"/proc/{os.getpid()}/mem"
    assert _tried(tmp_path, what="read", path=path) == "PermissionError"


def test_a_daemon_does_not_survive(tmp_path: Path) -> None:
    assert _tried(tmp_path, what="daemon", path=str(tmp_path / "inside" / "pid")) == "done"
    pid = int((tmp_path / "inside" / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_link_in_its_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="symbolic link"):
        _tried(tmp_path, what="symlink", path=str(tmp_path / "inside" / "log.txt.old"))


def test_a_forged_result_is_a_crash(tmp_path: Path) -> None:
    with pytest.raises(CrashError, match="cannot be read"):
        _tried(tmp_path, what="forge", path="result.json")


def test_a_hanging_family_ends_in_time(tmp_path: Path) -> None:
    limits = Limits(seconds=2, memory=LIMITS.memory)
    started = time.monotonic()
    with pytest.raises(CrashError, match="longer than"):
        sandbox.run_confined("hang_in_a_daemon", {}, tmp_path / "inside", limits)
    assert time.monotonic() - started < 60
    pid = int((tmp_path / "inside" / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
