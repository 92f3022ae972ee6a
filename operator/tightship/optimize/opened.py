"""From what was fetched to a folder of plain files: an archive or layers are unpacked."""

from collections.abc import Set as AbstractSet
from pathlib import Path

from tightship.api.job import JobRequest
from tightship.optimize import space
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
    request: JobRequest,
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
