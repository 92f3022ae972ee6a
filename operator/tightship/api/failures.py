"""Why a conversion or a load failed: reason, remedy, and whether a retry can help."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DIGEST_MISMATCH = "DigestMismatch"
"""The bytes that were fetched are not those that were asked for."""
MODEL_CRASHED = "ModelCrashed"
"""A verified model stopped answering on a server, which loads it again by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failure as a user reads it.

    `reason` is a documented CamelCase constant, `message` names cause and remedy in plain words
    (at most 1,024 characters, no traceback), `retryable` says that a retry may help.
    """

    reason: str
    message: str
    retryable: bool = False

    def to_json(self) -> dict[str, Any]:
        """The wire form, as in a termination message."""
        return {"reason": self.reason, "message": self.message, "retryable": self.retryable}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Failure:
        """Reads the wire form; missing parts become what is known."""
        return cls(
            reason=str(raw.get("reason", "Unknown")),
            message=str(raw.get("message", ""))[:1024],
            retryable=bool(raw.get("retryable", False)),
        )
