"""The folder that an archive is unpacked into, and every check that no format changes."""

import os
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from tightship.storage.digests import CHUNK, FileDigest, file_digest
from tightship.storage.errors import (
    ARCHIVE_BROKEN,
    ARCHIVE_TOO_LARGE,
    ARCHIVE_UNSAFE,
    StorageError,
)
from tightship.storage.limits import GIB, no_space
from tightship.storage.sink import writing
from tightship.storage.uris import safe_path, shown_name

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FREE_BYTES: Final = 1 << 20  # below this size a high ratio is no danger


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """Caps of unpacking: bytes of all members, number of members, unpacked to packed size.

    `room` is what the volume that it is written to can still hold; None: not known.
    """

    max_bytes: int = 10 * GIB
    max_members: int = 10_000
    max_ratio: float = 20
    room: int | None = None


class Target:
    """The folder being filled; every check that does not depend on the format."""

    def __init__(self, archive: Path, to: Path, limits: ArchiveLimits) -> None:
        self.archive = archive
        self.limits = limits
        self.allowed = int(
            min(limits.max_bytes, max(_FREE_BYTES, limits.max_ratio * archive.stat().st_size))
        )
        self._to = to
        self._files: set[str] = set()
        self._folders: set[str] = set()
        self._members = 0
        self._bytes = 0

    def folder(self, name: str) -> None:
        """Add a folder; archives repeat these rightfully."""
        self._count()
        name = name.removesuffix("/").removeprefix("./")
        if name not in {"", "."}:
            self._check(name, folder=True)
            with writing(name):
                (self._to / name).mkdir(parents=True, exist_ok=True)

    def file(self, name: str, source: IO[bytes], size: int) -> None:
        """Add a file of the announced size."""
        self._count()
        name = name.removeprefix("./")
        self._check(name, folder=False)
        with writing(name):
            path = self._to / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, _NEW_FILE, 0o644), "wb") as file:
                written = self._pour(source, file)
        if written != size:
            raise broken(self.archive, f"member {shown_name(name)} has another size than it says")

    def files(self) -> tuple[FileDigest, ...]:
        """What was unpacked; nothing at all is an error."""
        if not self._files:
            raise broken(self.archive, "it holds no files")
        return tuple(file_digest(self._to / name, name) for name in sorted(self._files))

    def too_large(self) -> StorageError:
        """The error for too many bytes, whichever cap it was."""
        return StorageError(
            ARCHIVE_TOO_LARGE,
            f"{self.archive.name} unpacks to more than {self.allowed} bytes (at most "
            f"{self.limits.max_bytes} bytes and {self.limits.max_ratio:g} times its own size are "
            "allowed). Store the model unpacked.",
        )

    def _pour(self, source: IO[bytes], file: IO[bytes]) -> int:
        written = 0
        while chunk := self._read(source):
            self._bytes += len(chunk)
            if self._bytes > self.allowed:
                raise self.too_large()
            if self.limits.room is not None and self._bytes > self.limits.room:
                raise no_space(f"{self.archive.name} unpacks to more", self.limits.room)
            file.write(chunk)
            written += len(chunk)
        return written

    def _read(self, source: IO[bytes]) -> bytes:
        with readable(self.archive):
            return source.read(CHUNK)

    def _count(self) -> None:
        self._members += 1
        if self._members > self.limits.max_members:
            raise StorageError(
                ARCHIVE_TOO_LARGE,
                f"{self.archive.name} has more than {self.limits.max_members} members. "
                "Pack the model's files only.",
            )

    def _check(self, name: str, *, folder: bool) -> None:
        try:
            safe_path(name, self.archive.name)
        except StorageError as error:
            raise unsafe_member(self.archive, name, "has an unsafe name") from error
        parents = {str(parent) for parent in PurePosixPath(name).parents} - {"."}
        if name in self._files or parents & self._files or (not folder and name in self._folders):
            raise unsafe_member(self.archive, name, "is there twice")
        self._folders |= parents
        (self._folders if folder else self._files).add(name)


@contextmanager
def readable(archive: Path) -> Iterator[None]:
    """Turn what a damaged archive makes its reader raise into ArchiveBroken or ArchiveUnsafe."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise unsafe_member(archive, "", "has a name that is not UTF-8") from error
    except (
        EOFError,
        NotImplementedError,
        OSError,  # a seek to where no file can go
        RuntimeError,
        ValueError,
        OverflowError,
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise broken(archive, "it is truncated, damaged or of an unknown kind") from error


def unsafe_member(archive: Path, name: str, why: str) -> StorageError:
    """The error for a member that is refused."""
    member = f"member {shown_name(name)}" if name else "a member"
    return StorageError(
        ARCHIVE_UNSAFE,
        f"{archive.name}: {member} {why}. Pack plain files with relative names and no links.",
    )


def broken(archive: Path, why: str) -> StorageError:
    """The error for an archive that is damaged or none."""
    return StorageError(
        ARCHIVE_BROKEN, f"{archive.name} cannot be unpacked: {why}. Pack and upload it again."
    )
