"""Why a model is not loaded: the reasons, how often each is tried again, and after which pause."""

from tightship.api.failures import Failure

ARTIFACT_MISSING = "ArtifactMissing"
ARTIFACT_CORRUPT = "ArtifactCorrupt"
STORE_UNREACHABLE = "StoreUnreachable"
NO_SPACE_LEFT = "NoSpaceLeft"
NO_MEMORY = "NoMemory"
LOAD_FAILED = "LoadFailed"
VERIFICATION_FAILED = "VerificationFailed"

_RETRIED_WITHOUT_END = frozenset({ARTIFACT_MISSING, STORE_UNREACHABLE, NO_SPACE_LEFT, NO_MEMORY})
ATTEMPTS = 3
_PAUSE_FIRST = 1.0
_PAUSE_MAX = 300.0
_MESSAGE_MAX = 1024


class LoadingError(Exception):
    """A step towards a loaded model failed."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.failure = Failure(
            reason=reason,
            message=message[:_MESSAGE_MAX],
            retryable=reason in _RETRIED_WITHOUT_END,
        )


def pause(failure: Failure, attempts: int) -> float | None:
    """Seconds until the next attempt after so many failed ones; None when it is not tried again."""
    if not failure.retryable and attempts >= ATTEMPTS:
        return None
    return float(min(_PAUSE_MAX, _PAUSE_FIRST * 2 ** min(attempts - 1, 30)))
