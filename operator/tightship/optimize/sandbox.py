"""Runs one function of this package in a fresh process with limits; a crash becomes a sentence.

The child gets a scratch folder as working directory and home, none of our environment but what
Python needs, and limits on address space, file size and time. It reads its argument as JSON and
writes its result as JSON. A confined child, for code that is not ours, is held by the kernel too:
see `confine`.
"""

import ctypes
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import tightship
from tightship.optimize import confine
from tightship.optimize.budget import GIB, memory_limit
from tightship.optimize.failures import Reason, RefusalError
from tightship.storage import check_folder

CONFINED = "--confined"
RESULT = "result.json"
LOG = "log.txt"
_KEPT = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "SSL_CERT_FILE", "VIRTUAL_ENV")
_LOG_TAIL = 2000
_PARENT_DEATH_SIGNAL = 1  # of prctl(2)
_ENDING = (signal.SIGINT, signal.SIGTERM)
_libc = ctypes.CDLL(None)
_LIBRARIES = 8 * GIB
_DISK_WORDS = ("No space left on device", "File too large")
_MEMORY_WORDS = ("MemoryError", "bad_alloc", "Cannot allocate memory", "Failed to allocate memory")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of one child: wall-clock seconds, bytes of address space, bytes of any file it writes."""

    seconds: float
    memory: int
    file_bytes: int = 8 * GIB

    @classmethod
    def for_model(cls, model_bytes: int, seconds: float, file_bytes: int = 8 * GIB) -> "Limits":
        """Eight copies of the model and what the runtime reserves, within the container's room."""
        wanted = 8 * model_bytes + 6 * GIB
        return cls(
            seconds=seconds, memory=min(wanted, memory_limit() + 2 * GIB), file_bytes=file_bytes
        )

    def for_training(self, seconds: float) -> "Limits":
        """Training for that long, and its start and export; all the container's memory."""
        return replace(self, seconds=seconds + self.seconds, memory=memory_limit()).with_libraries()

    def with_libraries(self) -> "Limits":
        """Room for torch: its libraries for GPUs take 4 GiB of addresses, and hardly any memory."""
        return replace(self, memory=self.memory + _LIBRARIES)


class CrashError(Exception):
    """The child ended without a result; the message says how, in one sentence."""

    def __init__(self, message: str, reason: Reason) -> None:
        super().__init__(message)
        self.reason = reason


def refusal(crash: CrashError, failed: str, remedy: str) -> RefusalError:
    """A child that read a model and crashed, as a refusal; `remedy` where the model is to blame."""
    remedies = {
        Reason.OUT_OF_MEMORY: "Give the pool's converter more memory, or a smaller model.",
        Reason.TIMED_OUT: "Give the pool's converter more processors, or a smaller model.",
        Reason.NO_SPACE: "Raise spec.converter.scratchSize of the ServingPool.",
    }
    reason = crash.reason if crash.reason in remedies else Reason.INVALID_MODEL
    return RefusalError(reason, f"{failed}: {crash}. {remedies.get(crash.reason, remedy)}")


def environment(scratch: Path) -> dict[str, str]:
    """What a child sees: no secret, no request, temporary files in its scratch folder."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    root = str(Path(tightship.__file__).resolve().parents[1])
    return {
        **kept,
        "PYTHONPATH": root,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "NNCF_CI": "1",  # its usage data stay here
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def command(task: str, *, confined: bool = False) -> list[str]:
    """The child's command line for `module:function` of this package."""
    extra = [CONFINED] if confined else []
    return [sys.executable, "-P", "-m", "tightship.optimize.worker", task, *extra]


def restrict(limits: Limits) -> None:
    """Apply limits to the calling process; runs in the child before the interpreter starts.

    It also ends with the process that started it, however that ends.
    """
    _libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    resource.setrlimit(resource.RLIMIT_AS, (limits.memory, limits.memory))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.file_bytes, limits.file_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def run_confined(
    task: str, payload: Mapping[str, Any], scratch: Path, limits: Limits
) -> dict[str, Any]:
    """`run` for code that is not ours: in Landlock where the kernel has it, and none survives.

    Raises:
        RefusalError: the function refused its input for a documented reason.
        CrashError: the child crashed, ran out of memory or of time, or wrote no proper result.
        StorageError: it left a link or a device in its folder, which is emptied at the beginning.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    with confine.no_survivors():
        line = command(task, confined=confine.abi() > 0)
        code, seconds = _wait(line, payload, scratch, limits)
    check_folder(scratch)  # or its files would lead us elsewhere
    try:
        return _result(code, scratch, limits, seconds)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = "its process left a result that cannot be read"
        raise CrashError(message, Reason.INTERNAL) from error


def run(task: str, payload: Mapping[str, Any], scratch: Path, limits: Limits) -> dict[str, Any]:
    """Run `module:function` with the payload; returns its result.

    Raises:
        RefusalError: the function refused its input for a documented reason.
        CrashError: the child crashed, ran out of memory or of time.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    code, seconds = _wait(command(task), payload, scratch, limits)
    return _result(code, scratch, limits, seconds)


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back what interrupts while a child is started; it comes at the end.

    Python runs callbacks around a fork, and drops a KeyboardInterrupt that is raised in one of
    them. A mask would not do: libraries have threads that take the signal all the same.
    """
    if threading.current_thread() is not threading.main_thread():  # handlers run there alone
        yield
        return
    came: list[int] = []
    before = {number: signal.getsignal(number) for number in _ENDING}
    for number in before:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])


def _wait(
    line: list[str], payload: Mapping[str, Any], scratch: Path, limits: Limits
) -> tuple[int, float]:
    """The child's exit code, and the seconds that it took."""
    (scratch / RESULT).unlink(missing_ok=True)
    started = time.monotonic()
    with (scratch / LOG).open("wb") as log:
        child = _started(line, scratch, limits, log)
        _feed(child, payload, limits.seconds)
    return child.returncode, time.monotonic() - started


def _started(
    line: list[str], scratch: Path, limits: Limits, log: IO[bytes]
) -> subprocess.Popen[bytes]:
    child: subprocess.Popen[bytes] | None = None
    try:
        with undisturbed():
            child = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                line,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=scratch,
                env=environment(scratch),
                preexec_fn=lambda: restrict(limits),  # noqa: PLW1509 (no threads of ours before)
                start_new_session=True,
            )
    except BaseException:  # what was held back comes when the child is there already
        if child is not None:
            _end(child)
        raise
    return child


def _feed(child: subprocess.Popen[bytes], payload: Mapping[str, Any], seconds: float) -> None:
    try:
        child.communicate(json.dumps(payload).encode(), timeout=seconds)
    except subprocess.TimeoutExpired:
        _end(child)
    except BaseException:  # whoever is interrupted leaves nothing behind that goes on computing
        _end(child)
        raise


def _end(child: subprocess.Popen[bytes]) -> None:
    os.killpg(child.pid, signal.SIGKILL)
    if child.stdin is not None:
        with suppress(BrokenPipeError):
            child.stdin.close()
    child.wait()


def _result(code: int, scratch: Path, limits: Limits, seconds: float) -> dict[str, Any]:
    file = scratch / RESULT
    if code == 0 and file.exists():
        answer = json.loads(file.read_text())
        if refusal := answer.get("refusal"):
            raise RefusalError(Reason(refusal["reason"]), refusal["message"])
        result: dict[str, Any] = answer["result"]
        return result
    log = (scratch / LOG).read_text(errors="replace")[-_LOG_TAIL:]
    raise _crash(code, log, limits, seconds)


def _crash(code: int, log: str, limits: Limits, seconds: float) -> CrashError:
    if seconds >= limits.seconds:
        return CrashError(f"it took longer than {limits.seconds:g} s", Reason.TIMED_OUT)
    if any(word in log for word in _MEMORY_WORDS) or code == -signal.SIGKILL:
        room = f"{limits.memory / GIB:.1f} GiB"
        return CrashError(f"it needs more memory than the {room} it may use", Reason.OUT_OF_MEMORY)
    if any(word in log for word in _DISK_WORDS) or code == -signal.SIGXFSZ:
        return CrashError("no space is left in the scratch folder", Reason.NO_SPACE)
    if code < 0:
        name = signal.Signals(-code).name
        return CrashError(f"its process was ended by {name}", Reason.INTERNAL)
    return CrashError(_last_line(log), Reason.INTERNAL)


def _last_line(log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "its process ended without a word"
