"""Functions that tests run in children, and how to start them."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tightship.optimize.failures import Reason, RefusalError

_ROOT = Path(__file__).resolve().parents[3]


def command(task: str) -> list[str]:
    setup = (
        f"import sys; sys.path[:0] = [{str(_ROOT)!r}]; from tests.unit.optimize import children; "
    )
    return [sys.executable, "-P", "-c", f"{setup}children.main({task!r})"]


def main(task: str) -> None:
    payload = json.load(sys.stdin)
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


def say_nothing(_: Mapping[str, Any]) -> None:
    os._exit(3)


def hang_with_child(payload: Mapping[str, Any]) -> None:
    child = subprocess.Popen(["sleep", "600"])
    Path(payload["file"]).write_text(str(child.pid))
    child.wait()
