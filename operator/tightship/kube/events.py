"""Events on our resources: an equal one that goes on is written once, and a storm is cut off."""

import datetime as dt
import hashlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable

from tightship.api import names
from tightship.kube.client import Client
from tightship.kube.errors import AlreadyExistsError, KubeError
from tightship.kube.resources import EVENTS, Object

_log = logging.getLogger(__name__)

_SILENCE = 3600.0  # seconds without an equal event, after which it is news again
_REMEMBERED = 4096
_NOTE_MAX = 1024  # the API's own bound
_BURST = 50
_RATE = 1.0  # new events a second, beyond the burst


class Events:
    """Writes Events. A failure is logged and never stands in the way of other work."""

    def __init__(
        self, client: Client, instance: str, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._client = client
        self._instance = instance
        self._clock = clock
        self._seen: OrderedDict[str, float] = OrderedDict()
        self._tokens = float(_BURST)
        self._filled_at = clock()
        self.dropped = 0

    async def record(
        self, regarding: Object, *, kind: str, reason: str, message: str, action: str
    ) -> bool:
        """Write an event unless it is a repetition; whether one was written.

        `regarding` is an object reference (apiVersion, kind, namespace, name, uid).
        """
        now = self._clock()
        digest = _digest(regarding["uid"], reason, message)
        if self._repeated(digest, now):
            return False
        if not self._allowed(now):
            self.dropped += 1
            return False
        event = self._event(regarding, kind, reason, message, action, digest, now)
        try:
            await self._client.create(event, manager=names.MANAGER)
        except AlreadyExistsError:
            return False
        except KubeError as error:
            self._seen.pop(digest, None)
            _log.warning("an event is not written", extra={"error": str(error), "reason": reason})
            return False
        return True

    def _repeated(self, digest: str, now: float) -> bool:
        last = self._seen.pop(digest, None)
        self._seen[digest] = now
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)
        return last is not None and now - last < _SILENCE

    def _allowed(self, now: float) -> bool:
        self._tokens = min(_BURST, self._tokens + (now - self._filled_at) * _RATE)
        self._filled_at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _event(
        self,
        regarding: Object,
        kind: str,
        reason: str,
        message: str,
        action: str,
        digest: str,
        now: float,
    ) -> Object:
        # The hour in the name makes a restarted operator's repetition of it fail as AlreadyExists.
        name = f"{regarding['name']}.{digest}.{int(now // _SILENCE):x}"
        stamp = dt.datetime.fromtimestamp(now, dt.UTC).isoformat(timespec="microseconds")
        return EVENTS.identity(regarding["namespace"], name) | {
            "eventTime": stamp.replace("+00:00", "Z"),
            "reportingController": f"{names.GROUP}/operator",
            "reportingInstance": self._instance,
            "action": action,
            "reason": reason,
            "type": kind,
            "note": message[:_NOTE_MAX],
            "regarding": regarding,
        }


def _digest(uid: str, reason: str, message: str) -> str:
    return hashlib.sha256(f"{uid}\0{reason}\0{message}".encode()).hexdigest()[:12]
