"""Refusal of everything in a folder that is not a plain file or a plain folder."""

import os
import stat
from pathlib import Path

from tightship.storage.errors import UNSAFE_FILE, StorageError
from tightship.storage.uris import safe_path, shown_name


def check_folder(folder: Path) -> tuple[str, ...]:
    """Return the relative paths of all files, sorted, of a tree of plain files and folders.

    Raises:
        StorageError: UnsafeFile for symbolic and hard links, devices, sockets, pipes and names with
            control characters or backslashes.
    """
    found: list[str] = []
    check_entry(folder.lstat(), folder.name)
    for where, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = os.path.relpath(os.path.join(where, name), folder)  # noqa: PTH118 (os.walk's own text)
            safe_path(path, "the folder")
            check_entry(os.lstat(os.path.join(where, name)), path)  # noqa: PTH118
            if name in files:
                found.append(path)
    return tuple(sorted(found))


def check_entry(info: os.stat_result, path: str) -> None:
    """Refuse a directory entry by what lstat(2) or fstat(2) tells of it."""
    mode = info.st_mode
    if stat.S_ISDIR(mode):
        return
    if stat.S_ISLNK(mode):
        raise unsafe(path, "a symbolic link")
    if not stat.S_ISREG(mode):
        raise unsafe(path, "a device, socket or pipe")
    if info.st_nlink > 1:
        raise unsafe(path, "a hard link")


def unsafe(path: str, what: str) -> StorageError:
    """The error for an entry that is no plain file."""
    return StorageError(
        UNSAFE_FILE,
        f"{shown_name(path)} is {what}. Only plain files and folders are "
        "taken: copy the real file there.",
    )
