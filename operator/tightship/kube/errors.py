"""What can go wrong with a request to the Kubernetes API, in the operator's own terms."""

import json
import re
from collections.abc import Mapping
from typing import Any

_MANAGER = re.compile(r'conflict with "([^"]+)"')
_TEXT_MAX = 256  # of an answer that is no Status, such as a proxy's page
_RETRIED = frozenset({408, 425, 429})


class KubeError(Exception):
    """A request that did not do what was asked. The text is the API server's own."""


class ConflictError(KubeError):
    """Another version, another owner of a field, or another object of that name.

    `managers` names the field managers that hold the fields (empty for other conflicts).
    """

    def __init__(self, message: str, managers: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.managers = managers


class AlreadyExistsError(ConflictError):
    """An object of that name exists."""


class NotFoundError(KubeError):
    """No such object, or no such kind."""


class ForbiddenError(KubeError):
    """Role-based access control, a quota or an admission policy refuses."""


class InvalidError(KubeError):
    """The object does not fit the schema or a validation rule."""


class UnavailableError(KubeError):
    """The API server cannot be reached, is overloaded, or refuses our credentials for now.

    `retry_after` is the pause in seconds that it asked for.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class NotLeaderError(KubeError):
    """The Lease is not held, or not for long enough to begin a write."""


def from_answer(status: int, body: bytes, headers: Mapping[str, str]) -> KubeError:
    """The error for an answer with an HTTP status of 400 or more."""
    answer = _status_object(body)
    message = str(answer.get("message") or _text(body) or f"HTTP {status}")
    if status in _RETRIED or status >= 500 or status == 401:  # noqa: PLR2004 (HTTP's own)
        return UnavailableError(f"HTTP {status}: {message}", _retry_after(answer, headers))
    if status == 404:  # noqa: PLR2004
        return NotFoundError(message)
    if status == 409:  # noqa: PLR2004
        return _conflict(answer, message)
    if status == 403:  # noqa: PLR2004
        return ForbiddenError(message)
    return InvalidError(message)


def _conflict(answer: Mapping[str, Any], message: str) -> ConflictError:
    if answer.get("reason") == "AlreadyExists":
        return AlreadyExistsError(message)
    causes = (answer.get("details") or {}).get("causes") or []
    found = [_MANAGER.search(str(cause.get("message"))) for cause in causes]
    return ConflictError(message, tuple(sorted({match[1] for match in found if match})))


def _status_object(body: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) and answer.get("kind") == "Status" else {}


def _text(body: bytes) -> str:
    return body[:_TEXT_MAX].decode(errors="replace").strip()


def _retry_after(answer: Mapping[str, Any], headers: Mapping[str, str]) -> float | None:
    asked = headers.get("Retry-After") or (answer.get("details") or {}).get("retryAfterSeconds")
    try:
        return float(asked) if asked is not None else None
    except (TypeError, ValueError):
        return None
