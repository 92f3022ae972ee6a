"""Which folder a trainer is imported from, and why it is not run; nothing of it is executed here.

On the command line it is the user's own folder. In a Job it is what was fetched, which runs only
where the pool trusts code and the kernel holds it in its folder.
"""

from dataclasses import dataclass
from pathlib import Path

from tightship.api.job import JobRequest
from tightship.api.training import TrainerRequest
from tightship.optimize import confine, training
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.folders import Folders
from tightship.optimize.opened import opened
from tightship.storage import check_folder

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
    _may_run(asked)
    lacking = training.missing()
    if not asked.confined:
        if lacking:
            raise RefusalError(Reason.INVALID_TRAINER, f"{lacking}.")
        return Source(folder=folders.trainer)
    found = _root(opened(folders.trainer, target, asked.uri, request, folders), asked.entry)
    return Source(folder=found, idle=_NO_TORCH if lacking else "")


def _may_run(asked: TrainerRequest) -> None:
    if not asked.trusted:
        raise RefusalError(
            Reason.UNTRUSTED_TRAINER,
            "A trainer is code of the user's, and runs only where it is trusted. Have "
            "spec.trustedCode of the ServingPool set to true, or leave the trainer out.",
        )
    if asked.confined and not confine.abi():
        raise RefusalError(
            Reason.UNTRUSTED_TRAINER,
            "This node's kernel has no Landlock (Linux 5.13 or newer, switched on), which is what "
            "holds a trainer's code in one folder. Convert on other nodes, or leave the trainer "
            "out.",
        )


def _root(folder: Path, entry: str) -> Path:
    """The folder itself, or its only folder where an archive was packed with it."""
    module = entry.partition(":")[0]
    names = check_folder(folder) if folder.exists() else ()
    inner = {Path(name).parts[0] for name in names}
    roots = [folder, folder / min(inner)] if len(inner) == 1 else [folder]
    for root in roots:
        if training.module_file(root, module) is not None:
            return root
    shown = ", ".join(names[:4]) or "nothing"
    raise RefusalError(
        Reason.INVALID_TRAINER,
        f"The trainer has no module {module}: its source holds {shown}. Name the module that is "
        "there in entrypoint, as train:Digits for train.py.",
    )
