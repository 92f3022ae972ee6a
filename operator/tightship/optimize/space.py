"""The scratch volume: what is left of it, and whether that is enough for the next step."""

import shutil
from pathlib import Path

from tightship.optimize.failures import Reason, RefusalError

_COPIES = 2  # of the model: a candidate's file and its build's, or the two that Triton loads


def room(work: Path, limit: int) -> int:
    """Bytes that may still be written: what is left of `limit`, or of the disk where that is less.

    The kubelet looks at a volume's size about once a minute and then evicts the pod, so stages ask
    before they write.
    """
    work.mkdir(parents=True, exist_ok=True)
    files = (path.lstat() for path in work.rglob("*") if not path.is_dir())
    sizes = {file.st_ino: file.st_size for file in files}  # a file of two names counts once
    return max(0, min(limit - sum(sizes.values()), shutil.disk_usage(work).free))


def check(work: Path, limit: int, model_bytes: int, data_bytes: int = 0) -> None:
    """Refuse to begin a step for which the volume is too small; `data_bytes` are unpacked arrays.

    Raises:
        RefusalError: NoSpaceLeft.
    """
    left = room(work, limit)
    needed = _COPIES * model_bytes + data_bytes
    if needed > left:
        raise RefusalError(
            Reason.NO_SPACE,
            f"The model has {model_bytes} bytes, the next step writes {needed}, and the scratch "
            f"volume has room for {left}. Raise spec.converter.scratchSize of the ServingPool, or "
            "give a smaller model or less data.",
        )
