"""A stage's request as it is read, and the one JSON answer that the stage ends with."""

import errno
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tightship.api import job
from tightship.api.artifact import TERMINATION_MESSAGE_MAX
from tightship.api.failures import Failure
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.folders import Folders
from tightship.storage import StorageError

LOG = logging.getLogger(__name__)

R = TypeVar("R")


def answered(stage: str, folders: Folders, work: Callable[[], dict[str, Any]]) -> int:
    """Do the work of a stage and write what became of it; returns the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        found: dict[str, Any] | Failure = work()
    except (RefusalError, StorageError) as refusal:
        found = refusal.to_failure()
        LOG.warning("%s: %s", found.reason, found.message)
    except OSError as error:
        LOG.exception("the stage %s failed", stage)
        found = _disk(error)
    except MemoryError:
        LOG.exception("the stage %s failed", stage)
        found = _unexpected(Reason.OUT_OF_MEMORY, "Give the pool's converter more memory.")
    except Exception:
        LOG.exception("the stage %s failed", stage)
        found = _unexpected(
            Reason.INTERNAL, f"Its log names the place; the Job is tried again. Stage: {stage}."
        )
    _tell(found, folders.termination_log)
    return 1 if isinstance(found, Failure) else 0


def read_request(read: Callable[[str], R]) -> R:
    """The stage's request, from its environment.

    Raises:
        RefusalError: it is missing or of another version.
    """
    text = os.environ.get(job.REQUEST_VARIABLE, "")
    try:
        return read(text)
    except ValueError as error:
        raise RefusalError(
            Reason.INVALID_REQUEST,
            f"{job.REQUEST_VARIABLE} cannot be read ({error}). Operator and converter image must "
            "be of one version.",
        ) from error


def _disk(error: OSError) -> Failure:
    if error.errno == errno.ENOSPC:
        message = (
            "No space is left in the Job's scratch volume. Raise spec.converter.scratchSize of the "
            "ServingPool."
        )
        return RefusalError(Reason.NO_SPACE, message).to_failure()
    return _unexpected(Reason.INTERNAL, f"The system said: {error.strerror}.")


def _unexpected(reason: Reason, remedy: str) -> Failure:
    return RefusalError(reason, f"The converter failed unexpectedly. {remedy}").to_failure()


def _tell(found: dict[str, Any] | Failure, log: Path) -> None:
    """Write the answer within the kubelet's limit; a long sentence is cut, never the JSON."""
    text = job.answer(found)
    while len(text.encode()) > TERMINATION_MESSAGE_MAX and isinstance(found, dict):
        found = {**found, "reason": f"{str(found['reason'])[: len(found['reason']) // 2]}…"}
        text = job.answer(found)
    if len(text.encode()) > TERMINATION_MESSAGE_MAX and isinstance(found, Failure):
        text = job.answer(Failure.from_json({**found.to_json(), "message": found.message[:300]}))
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text(text)
