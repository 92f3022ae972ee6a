"""The container's first process: starts the agent again when it ends, and passes signals on.

It imports nothing but the standard library and holds no state. A killed agent must not end the
container, because a restarting sidecar takes the pod out of its Services.
"""

import os
import signal
import sys
import time
from collections.abc import Mapping

CONFIGURATION_ERROR = 2
"""Exit status of an agent that was told nonsense: starting it again cannot help."""

_PAUSE_FIRST = 0.2
_PAUSE_MAX = 30.0
_STEADY_SECONDS = 60.0
_STOP = frozenset({signal.SIGTERM, signal.SIGINT})


def supervise(command: list[str], env: Mapping[str, str]) -> int:
    """Keeps one child running until a signal says stop; returns the container's exit status.

    Signals are waited for instead of handled, so that none is lost between two children.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP | {signal.SIGCHLD})
    pause = _PAUSE_FIRST
    while True:
        started = time.monotonic()
        child = os.posix_spawn(command[0], command, env, setsigmask=())
        status, stopping = _until_end(child)
        if stopping or status == CONFIGURATION_ERROR:
            return max(0, status)
        if time.monotonic() - started >= _STEADY_SECONDS:
            pause = _PAUSE_FIRST
        sys.stderr.write(f"tightship agent: ended with {status}; again in {pause:g} s\n")
        sys.stderr.flush()
        if signal.sigtimedwait(_STOP, pause) is not None:
            return 0
        pause = min(_PAUSE_MAX, pause * 2)


def _until_end(child: int) -> tuple[int, bool]:
    """The child's exit status (negative: the signal that killed it), and whether we are to stop."""
    stopping = False
    while True:
        number = signal.sigwaitinfo(_STOP | {signal.SIGCHLD}).si_signo
        if number in _STOP:
            stopping = True
            os.kill(child, number)
            continue
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended == child:
            return os.waitstatus_to_exitcode(status), stopping
