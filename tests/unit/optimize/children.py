"""Functions that tests run in children, and how to start them."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tightship.optimize import confine
from tightship.optimize.failures import Reason, RefusalError

_ROOT = Path(__file__).resolve().parents[3]


def command(task: str, *, confined: bool = False) -> list[str]:
    setup = (
        f"import sys; sys.path[:0] = [{str(_ROOT)!r}]; from tests.unit.optimize import children; "
    )
    return [sys.executable, "-P", "-c", f"{setup}children.main({task!r}, confined={confined})"]


def main(task: str, *, confined: bool) -> None:
    payload = json.load(sys.stdin)
    if confined:
        confine.apply(Path.cwd())
    try:
        answer = {"result": globals()[task](payload)}
    except RefusalError as refusal:
        answer = {"refusal": {"reason": refusal.reason.value, "message": refusal.message}}
    Path("result.json").write_text(json.dumps(answer))


def double(payload: Mapping[str, Any]) -> dict[str, Any]:
    return {"doubled": 2 * payload["value"]}


def refuse(_: Mapping[str, Any]) -> None:
    raise RefusalError(Reason.UNSAFE_MODEL, "not this one")


def raise_error(_: Mapping[str, Any]) -> None:
    raise ValueError("a plain reason")


def abort(_: Mapping[str, Any]) -> None:
    os.abort()


def hoard(_: Mapping[str, Any]) -> int:
    return len(bytearray(8 * 2**30))


def write_much(_: Mapping[str, Any]) -> None:
    Path("much").write_bytes(b"x" * (2 << 20))


def write(payload: Mapping[str, Any]) -> None:
    Path(payload["path"]).write_text("x")


def say_nothing(_: Mapping[str, Any]) -> None:
    os._exit(3)


def hang_with_child(payload: Mapping[str, Any]) -> None:
    child = subprocess.Popen(["sleep", "600"])
    Path(payload["file"]).write_text(str(child.pid))
    child.wait()


def attempt(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Try something that confined code may not do; the answer is the error's name or "done"."""
    path = Path(payload["path"])
    tries: dict[str, Callable[[], object]] = {
        "write": lambda: path.write_text("x"),
        "append": lambda: path.open("a").write("x"),
        "mkdir": path.mkdir,
        "unlink": path.unlink,
        "symlink": lambda: path.symlink_to("/etc/hostname"),
        "rename": lambda: path.rename("mine"),
        "program": lambda: subprocess.run([path], check=True),
        "connect": lambda: socket.create_connection(("127.0.0.1", int(path.name))),
        "signal": lambda: os.kill(int(path.name), signal.SIGCONT),
        "read": path.read_bytes,
        "daemon": lambda: _daemon(path),
        "forge": lambda: (path.write_text("[1, 2]"), os._exit(0)),
    }
    try:
        tries[payload["what"]]()
    except OSError as error:
        return {"outcome": type(error).__name__}
    return {"outcome": "done"}


def _daemon(file: Path) -> None:
    """A process of its own session, whose parent has gone; done when it has left its number."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            file.write_text(str(os.getpid()))
            os.write(writer, b"x")
            signal.pause()
        os._exit(0)
    os.read(reader, 1)


def hang_in_a_daemon(_: Mapping[str, Any]) -> None:
    _daemon(Path("pid"))
    signal.pause()
