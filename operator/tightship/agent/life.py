"""What is known of the Triton that answers now: whether it is live, and whether it is a new one."""

import asyncio
import logging
import time

from tightship.triton.errors import TritonError
from tightship.triton.memory import ServerProcess

log = logging.getLogger(__name__)


class TritonLife:
    """One Triton process after another, as the agent sees them.

    `restore_seconds` bounds how long a new one counts as being restored.
    """

    def __init__(self, restore_seconds: float) -> None:
        self.live = asyncio.Event()
        self.trouble = ""  # why it does not answer, as last seen
        self._restore_seconds = restore_seconds
        self._restore_until = 0.0
        self._answered_at = time.monotonic()
        self._seen = False
        self._process: ServerProcess | None = None

    @property
    def restoring(self) -> bool:
        """Whether models of its predecessor may still be on their way back."""
        return time.monotonic() < self._restore_until

    @property
    def overdue(self) -> bool:
        """Whether it has not answered for longer than its predecessor's models are waited for."""
        return time.monotonic() > self._answered_at + self._restore_seconds

    def answered(self, process: ServerProcess | None) -> bool:
        """Notes an answer; True when it is of a Triton that has started anew.

        That is told by its process where it is visible, whether or not its absence was noticed,
        and else by its absence.
        """
        changed = process != self._process and process is not None and self._process is not None
        returned = self._seen and not self.live.is_set() and self._process is None
        self._process = process or self._process
        self._seen, self._answered_at = True, time.monotonic()
        if not (changed or returned):
            return False
        log.warning("Triton has started anew")
        self.live.clear()
        return True

    def welcome(self) -> None:
        """Notes that it is live, and clean of what an earlier life left."""
        self._restore_until = time.monotonic() + self._restore_seconds
        self.trouble = ""
        self.live.set()

    def gone(self, error: TritonError) -> bool:
        """Notes that it does not answer; True when it did until now."""
        if self.trouble != str(error):
            log.warning("Triton does not answer: %s", error)
            self.trouble = str(error)
        was_live = self.live.is_set()
        self.live.clear()
        return was_live
