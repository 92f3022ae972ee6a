"""What an OCI artifact's packed layers hold: folders as they are, images as a file system.

Source: OCI Image Specification 1.1, "Image Layer Filesystem Changeset" (order, whiteouts).
"""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from tightship.storage.archive import Format, archive_format, unpack
from tightship.storage.errors import ARCHIVE_BROKEN, ARCHIVE_UNSAFE, StorageError
from tightship.storage.sink import writing
from tightship.storage.tarball import file_names
from tightship.storage.tree import check_folder
from tightship.storage.unpacking import ArchiveLimits, Target, broken

LAYERS: Final = ".layers"  # below a download: packed layers by number, beside the plain files
IMAGE: Final = ".image"
FOLDERS: Final = ".folder"
MODELS: Final = "models/"  # of an image: where model images for Kubernetes have the model
_WHITEOUT: Final = ".wh."
_OPAQUE: Final = ".wh..wh..opq"


def has_layers(folder: Path) -> bool:
    """Whether a downloaded artifact has layers that are still packed."""
    return (folder / LAYERS).is_dir()


def assemble(folder: Path, to: Path, limits: ArchiveLimits) -> None:
    """Make the new folder `to` of a downloaded artifact's plain files and packed layers.

    Layers of an image are applied in their order, whiteouts included. Where any of them has files
    below `models/`, only these are taken, and lie in `to` without that prefix: what else an image
    brings (a base system with its links) is no part of the model.

    Raises:
        StorageError: what `unpack` raises; ArchiveUnsafe also for a file in a folder's place.
    """
    with writing(to.name):
        to.mkdir(parents=True)
    packed = sorted((folder / LAYERS).iterdir())
    names = {layer: _names(layer, limits) for layer in packed if layer.suffix == IMAGE}
    prefix = MODELS if any(_below(found, MODELS) for found in names.values()) else ""
    for name in check_folder(folder):
        if name.split("/", 1)[0] != LAYERS:
            _place(folder / name, to, name, shutil.copyfile)
    for layer in packed:
        found = [name.removeprefix(prefix) for name in _below(names.get(layer, []), prefix)]
        _white_out(to, found)
        if layer in names and not any(map(_is_file, found)):
            continue
        limits = _apply(layer, to, limits, prefix if layer in names else "")
    if not any(to.iterdir()):
        raise StorageError(
            ARCHIVE_BROKEN, "The artifact's layers hold no files. Push the model's files."
        )


def _apply(layer: Path, to: Path, limits: ArchiveLimits, prefix: str) -> ArchiveLimits:
    """Unpack one layer over the earlier ones; returns what the next ones may still use."""
    scratch = to.with_name(f"{to.name}.layer")
    shutil.rmtree(scratch, ignore_errors=True)
    files = unpack(
        layer, scratch, limits, taken=lambda name: name.startswith(prefix) and _is_file(name)
    )
    for file in files:
        _place(scratch / file.path, to, file.path.removeprefix(prefix), Path.replace)
    shutil.rmtree(scratch)
    used = sum(file.bytes for file in files)
    room = None if limits.room is None else max(0, limits.room - used)
    return replace(limits, max_bytes=max(0, limits.max_bytes - used), room=room)


def _place(file: Path, to: Path, name: str, move: Callable[[Path, Path], object]) -> None:
    target = to / name
    try:
        with writing(name):
            target.parent.mkdir(parents=True, exist_ok=True)
            move(file, target)
    except StorageError as error:
        if isinstance(error.__cause__, FileExistsError | NotADirectoryError | IsADirectoryError):
            raise StorageError(
                ARCHIVE_UNSAFE,
                f"The artifact holds {name[:100]!a} as a file and as a folder. Push it again with "
                "one of them.",
            ) from error
        raise


def _white_out(to: Path, names: list[str]) -> None:
    """Remove what a layer says is gone from the earlier ones."""
    for name in names:
        path = PurePosixPath(name)
        if ".." in path.parts or path.is_absolute() or not path.name.startswith(_WHITEOUT):
            continue
        if path.name == _OPAQUE:
            folder = to / path.parent
            gone = list(folder.iterdir()) if folder.is_dir() else []
        else:
            target = path.name.removeprefix(_WHITEOUT)
            gone = [] if target in {"", ".", ".."} else [to / path.parent / target]
        for each in gone:
            if each.is_dir():
                shutil.rmtree(each)
            else:
                each.unlink(missing_ok=True)


def _names(layer: Path, limits: ArchiveLimits) -> list[str]:
    form = archive_format(layer)
    if form not in {Format.TAR, Format.TAR_GZ}:
        raise broken(layer, "it is no tar or tar.gz file")
    return file_names(layer, Target(layer, layer, limits), packed=form is Format.TAR_GZ)


def _below(names: list[str], prefix: str) -> list[str]:
    return [name for name in names if name.startswith(prefix)]


def _is_file(name: str) -> bool:
    return not PurePosixPath(name).name.startswith(_WHITEOUT)
