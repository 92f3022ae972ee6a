"""The one exception of this package and its documented reasons."""

from typing import Final

from tightship.api import failures
from tightship.api.failures import Failure

ACCESS_DENIED: Final = "AccessDenied"
ARCHIVE_BROKEN: Final = "ArchiveBroken"
ARCHIVE_TOO_LARGE: Final = "ArchiveTooLarge"
ARCHIVE_UNSAFE: Final = "ArchiveUnsafe"
CERTIFICATE_NOT_TRUSTED: Final = "CertificateNotTrusted"
CLAIM_NOT_MOUNTED: Final = "ClaimNotMounted"
DIGEST_MISMATCH: Final = failures.DIGEST_MISMATCH
HOST_NOT_ALLOWED: Final = "HostNotAllowed"
INVALID_CREDENTIALS: Final = "InvalidCredentials"
INVALID_MANIFEST: Final = "InvalidManifest"
INVALID_RESPONSE: Final = "InvalidResponse"
INVALID_URI: Final = "InvalidUri"
NO_SPACE_LEFT: Final = "NoSpaceLeft"
REDIRECT_REFUSED: Final = "RedirectRefused"
SOURCE_NOT_FOUND: Final = "SourceNotFound"
SOURCE_TOO_LARGE: Final = "SourceTooLarge"
SOURCE_UNREACHABLE: Final = "SourceUnreachable"
TIMED_OUT: Final = "TimedOut"
TOO_MANY_FILES: Final = "TooManyFiles"
UNSAFE_FILE: Final = "UnsafeFile"
UNSUPPORTED_ARTIFACT: Final = "UnsupportedArtifact"
UNSUPPORTED_OPERATION: Final = "UnsupportedOperation"
UNSUPPORTED_SCHEME: Final = "UnsupportedScheme"
WRITE_FAILED: Final = "WriteFailed"

REASONS: Final = frozenset(
    value for name, value in tuple(globals().items()) if name.isupper() and isinstance(value, str)
)


class StorageError(Exception):
    """A transfer, a check or an unpacking that was refused or failed.

    Attributes:
        reason: one of REASONS.
        message: cause and remedy in plain words; never a secret, a query string or a traceback.
        retryable: whether the same call may succeed later without a change by anybody.
        retry_after: seconds that the server asked to wait, where it did.
    """

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message
        self.retryable = retryable
        self.retry_after = retry_after

    def to_failure(self) -> Failure:
        """The same as the API's value, for termination messages and the agent's state."""
        return Failure(reason=self.reason, message=self.message[:1024], retryable=self.retryable)
