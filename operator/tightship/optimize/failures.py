"""The documented reasons why a file is refused or a conversion fails, and their exception."""

from enum import StrEnum

from tightship.api.failures import Failure

MESSAGE_MAX = 1024  # characters, as in `tightship.api.failures.Failure`


class Reason(StrEnum):
    """Reasons of the converter itself; `tightship.api.reasons` has causes and remedies."""

    INVALID_MODEL = "InvalidModel"
    UNSAFE_MODEL = "UnsafeModel"
    UNSUPPORTED_MODEL = "UnsupportedModel"
    MODEL_TOO_LARGE = "ModelTooLarge"
    INVALID_CONFIG = "InvalidConfig"
    DATA_INVALID = "DataInvalid"
    OUT_OF_MEMORY = "OutOfMemory"
    NO_SPACE = "NoSpaceLeft"
    TIMED_OUT = "TimedOut"
    TRITON_FAILED = "TritonFailed"
    PUBLISH_FAILED = "PublishFailed"
    INVALID_REQUEST = "InvalidRequest"
    INVALID_TRAINER = "InvalidTrainer"
    UNTRUSTED_TRAINER = "UntrustedTrainer"
    INVALID_METRIC = "InvalidMetric"
    UNTRUSTED_METRIC = "UntrustedMetric"
    INTERNAL = "InternalError"


_RETRYABLE = frozenset(
    {Reason.TIMED_OUT, Reason.TRITON_FAILED, Reason.PUBLISH_FAILED, Reason.INTERNAL}
)


class RefusalError(Exception):
    """Ends a stage with a documented reason; the message names cause and remedy in plain words."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message[:MESSAGE_MAX]

    def to_failure(self) -> Failure:
        """The wire form of this refusal."""
        return Failure(
            reason=self.reason.value, message=self.message, retryable=self.reason in _RETRYABLE
        )
