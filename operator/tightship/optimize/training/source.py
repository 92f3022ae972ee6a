"""Which folder a trainer is imported from, and why it is not run; nothing of it runs here."""

from dataclasses import dataclass
from pathlib import Path

from tightship.api.job import JobRequest
from tightship.optimize import training, trust
from tightship.optimize.entry import TRAINER
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.folders import Folders

_NO_TORCH = (
    "the converter image has no torch: set converter.image of the ServingPool to the image "
    "converter-torch"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A trainer's folder; with `idle`, why nothing is trained although it is asked for."""

    folder: Path
    idle: str = ""


def take(request: JobRequest, folders: Folders, target: Path) -> Source | None:
    """The folder that the trainer is imported from; None without a trainer.

    Raises:
        RefusalError: it is not trusted, cannot be held, or has no such module.
        StorageError: an unsafe or broken archive, or a link among the files.
    """
    asked = request.trainer
    if asked is None:
        return None
    folder = trust.folder(TRAINER, asked, folders.trainer, target, request, folders)
    lacking = training.missing()
    if lacking and not asked.confined:
        raise RefusalError(Reason.INVALID_TRAINER, f"{lacking}.")
    return Source(folder=folder, idle=_NO_TORCH if lacking else "")
