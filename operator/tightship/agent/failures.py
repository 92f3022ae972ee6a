"""Why a model is not loaded: the reasons, how often each is tried again, and after which pause."""

from dataclasses import dataclass

from tightship.api.failures import MODEL_CRASHED, Failure

ARTIFACT_MISSING = "ArtifactMissing"
ARTIFACT_CORRUPT = "ArtifactCorrupt"
STORE_UNREACHABLE = "StoreUnreachable"
NO_SPACE_LEFT = "NoSpaceLeft"
NO_MEMORY = "NoMemory"
LOAD_FAILED = "LoadFailed"
VERIFICATION_FAILED = "VerificationFailed"

_RETRIED_WITHOUT_END = frozenset(
    {ARTIFACT_MISSING, STORE_UNREACHABLE, NO_SPACE_LEFT, NO_MEMORY, MODEL_CRASHED}
)
ATTEMPTS = 3
_PAUSE_FIRST = 1.0
_PAUSE_MAX = 300.0
_CALM_SECONDS = 600.0  # a model that has answered for so long starts with a clean record
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


@dataclass(frozen=True, slots=True)
class Crashes:
    """How often a verified model has stopped answering in a row, and when last (monotonic s)."""

    count: int = 0
    last: float = 0.0

    def another(self, now: float) -> "Crashes":
        """One more; the first of a new row when the last one was long ago."""
        return Crashes(1 if now - self.last > _CALM_SECONDS else self.count + 1, now)

    @property
    def pause(self) -> float:
        """Seconds between the last crash and the next load: none after the first one of a row."""
        if self.count <= 1:
            return 0.0
        return float(min(_PAUSE_MAX, _PAUSE_FIRST * 2 ** min(self.count - 2, 30)))

    def rest(self, now: float) -> float:
        """Seconds that are left of the pause."""
        return max(0.0, self.last + self.pause - now) if self.count else 0.0

    def failure(self, reason: str) -> Failure:
        """What a user reads while a model that stopped answering is brought back."""
        often = f" ({self.count} times in a row)" if self.count > 1 else ""
        pause = f" after a pause of {self.pause:g} s" if self.pause else ""
        return LoadingError(
            MODEL_CRASHED,
            f"the model stopped answering{often}: {reason.rstrip('.')}; the agent loads it again"
            f"{pause}. If this comes back, Triton's log says more; a process that was killed for "
            "want of memory needs servers with more memory, or smaller batches",
        ).failure

    def unhealed(self, failure: Failure) -> Failure:
        """A failed attempt to bring the model back, which is tried again without end."""
        return LoadingError(
            MODEL_CRASHED,
            "the model stopped answering and could not be loaded again yet; the agent goes on "
            f"trying. {failure.reason}: {failure.message}",
        ).failure
