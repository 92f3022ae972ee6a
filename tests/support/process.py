"""Real server processes for tests: logged, awaited by their own readiness, stopped for certain."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_POLL_SECONDS = 0.05


class ServerError(RuntimeError):
    """A server ended or did not become ready; the message holds the end of its log."""


class Process:
    """One running server. Its standard output and error go to the file `log`."""

    def __init__(
        self, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
    ) -> None:
        self.log = log
        self._name = Path(command[0]).name
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def wait_ready(self, ready: Callable[[], bool], seconds: float) -> None:
        """Return once `ready()` is true; ServerError when the process ends or the time is over."""
        deadline = time.monotonic() + seconds
        while not ready():
            if self.ended_within(_POLL_SECONDS):
                raise ServerError(
                    f"{self._name} ended with {self._popen.returncode}:\n{self.tail()}"
                )
            if time.monotonic() > deadline:
                self.kill()
                raise ServerError(f"{self._name} is not ready after {seconds:g} s:\n{self.tail()}")

    def ended_within(self, seconds: float) -> bool:
        """Wait at most `seconds` for the process to end; whether it did."""
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, seconds: float = 15) -> None:
        """End the process politely, and by force when it does not go within `seconds`."""
        if self.running:
            self._popen.terminate()
            if not self.ended_within(seconds):
                self.kill()

    def kill(self) -> None:
        """End the process at once, as a crash would."""
        self._popen.kill()
        self._popen.wait()

    def tail(self, lines: int = 25) -> str:
        """The end of the log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def free_ports(count: int) -> list[int]:
    """Distinct loopback ports that nothing listens on now."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(opened.getsockname()[1]) for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def listens(port: int) -> bool:
    """Whether something takes connections on a loopback port."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def answers(url: str, statuses: Sequence[int] = (200,)) -> bool:
    """Whether an HTTP GET is answered with one of the statuses."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 (a loopback address)
            return response.status in statuses
    except urllib.error.HTTPError as error:
        return error.code in statuses
    except OSError:
        return False
