"""Confines the calling process with Landlock: writes in one folder, no programs, no connections.

What Landlock has, by its ABI: 1 writing, 3 truncating, 4 TCP, 6 signals and abstract sockets; the
kernel's own description is Documentation/userspace-api/landlock.rst. Reading stays allowed. Not
covered by the kernel: UDP, and changing mode, owner or times of files that the user owns.
"""

import ctypes
import os
import signal
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_GET_VERSION = 1
_PATH_BENEATH = 1
_NO_NEW_PRIVILEGES, _CHILD_SUBREAPER = 38, 36  # of prctl(2)
_EXECUTE, _WRITE_FILE, _TRUNCATE = 1 << 0, 1 << 1, 1 << 14
_CHANGES = sum(1 << bit for bit in range(4, 13)) | _WRITE_FILE  # removing and making of any kind
_REFER, _DEVICES = 1 << 13, 1 << 15
_TCP = 0b11  # bind, connect
_SCOPES = 0b11  # abstract Unix sockets, signals
_SINCE = {2: _REFER, 3: _TRUNCATE, 5: _DEVICES}
_ABI_TCP, _ABI_SCOPES = 4, 6
_WRITABLE_DEVICE = Path("/dev/null")
_PARENT = 1  # place of the parent's number in /proc/PID/stat, behind the name

_libc = ctypes.CDLL(None, use_errno=True)


def abi() -> int:
    """Version of the kernel's Landlock; 0 where it has none or it is switched off."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, 0, _GET_VERSION)))


def apply(folder: Path) -> None:
    """From now on this process and its children write below `folder` and to /dev/null only.

    Nor can they start programs, open TCP connections (ABI 4) or signal other processes (ABI 6).
    There is no way back.

    Raises:
        OSError: the kernel does not offer it.
    """
    version = abi()
    handled = _EXECUTE | _CHANGES | _since(version)
    network = _TCP if version >= _ABI_TCP else 0
    scopes = _SCOPES if version >= _ABI_SCOPES else 0
    attributes = struct.pack("QQQ", handled, network, scopes)
    size = 24 if version >= _ABI_SCOPES else 16 if version >= _ABI_TCP else 8
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, attributes, size, 0))
    try:
        _allow(ruleset, folder, handled & ~_EXECUTE)
        _allow(ruleset, _WRITABLE_DEVICE, handled & (_WRITE_FILE | _TRUNCATE | _DEVICES))
        _checked(_libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0))
        _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)


def _since(version: int) -> int:
    return sum(right for first, right in _SINCE.items() if version >= first)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, place)
        _checked(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, rule, 0))
    finally:
        os.close(place)


def _checked(result: int) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"Landlock: {os.strerror(code)}")
    return result


@contextmanager
def no_survivors() -> Iterator[None]:
    """At the end, kills what descendants of children begun inside left running, in any session."""
    before = _children()
    _libc.prctl(_CHILD_SUBREAPER, 1, 0, 0, 0)
    try:
        yield
    finally:
        while left := _children() - before:
            for child in left:
                with suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(child, 0)
        _libc.prctl(_CHILD_SUBREAPER, 0, 0, 0, 0)


def _children() -> set[int]:
    mine, found = str(os.getpid()), set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal():
            continue
        with suppress(OSError):
            fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if fields[_PARENT] == mine:
                found.add(int(folder.name))
    return found
