"""From what was fetched to a folder of plain files: an archive or layers are unpacked."""

from collections.abc import Set as AbstractSet
from pathlib import Path

from tightship.api.job import EvaluateRequest, JobRequest
from tightship.optimize import space
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.folders import Folders
from tightship.storage import (
    ArchiveLimits,
    archive_format,
    assemble,
    check_folder,
    has_layers,
    unpack,
)


def opened(
    fetched: Path,
    target: Path,
    uri: str,
    request: JobRequest | EvaluateRequest,
    folders: Folders,
    models: AbstractSet[str] = frozenset(),
) -> Path:
    """`fetched` itself, or the new folder `target` with what its only file or its layers hold.

    A file whose name ends in one of `models` is taken for what it is: a zip need be no archive.

    Raises:
        StorageError: an unsafe or broken archive, or a link among the files.
    """
    files = check_folder(fetched) if fetched.exists() else ()
    if any(Path(name).suffix.lower() in models for name in files):
        return fetched
    room = space.room(folders.work, request.scratch_bytes)
    limits = ArchiveLimits(max_bytes=request.max_source_bytes, room=room)
    if uri.startswith("oci://") and has_layers(fetched):
        assemble(fetched, target, limits)
        return target
    if len(files) != 1 or archive_format(fetched / files[0]) is None:
        return fetched
    unpack(fetched / files[0], target, limits)
    return target


def lone(folder: Path, suffixes: AbstractSet[str], kind: str, model_format: str) -> Path:
    """The only file with one of these suffixes in a folder; others may lie beside it.

    `kind` names such models in words.

    Raises:
        RefusalError: none, or more than one.
        StorageError: a link, a device, or a name that leads elsewhere.
    """
    files = [folder / name for name in check_folder(folder)]
    found = [file for file in files if file.suffix.lower() in suffixes]
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(file.relative_to(folder)) for file in (found or files)[:4]) or "nothing"
    *most, last = sorted(suffixes)
    problem = f"{len(found)} {kind} models" if found else f"no {', '.join(most)} or {last} file"
    raise RefusalError(
        Reason.UNSUPPORTED_MODEL if found else Reason.INVALID_MODEL,
        f"The source holds {problem} ({names}). With modelFormat {model_format}, name one model; "
        "for an ONNX file use onnx.",
    )
