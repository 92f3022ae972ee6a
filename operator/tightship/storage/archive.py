"""Safe unpacking of hostile archives: .zip, .tar and .tar.gz, known by content and not by name."""

import gzip
import io
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
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
from tightship.storage.zipdirectory import directory_bytes

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_TAR_MAGIC_AT: Final = 257
_ENCRYPTED: Final = 0x1
_UTF8: Final = 0x800
_FREE_BYTES: Final = 1 << 20  # below this size a high ratio is no danger
_HEADER_BYTES: Final = 1 << 20  # the largest single header that a tar may make us read
_MEMBER_BYTES: Final = 4096  # headers and padding of one tar member, generously


class Format(StrEnum):
    """Archives that are unpacked."""

    ZIP = "zip"
    TAR = "tar"
    TAR_GZ = "tar.gz"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveLimits:
    """Caps of unpacking: bytes of all members, number of members, unpacked to packed size.

    `room` is what the volume that it is written to can still hold; None: not known.
    """

    max_bytes: int = 10 * GIB
    max_members: int = 10_000
    max_ratio: float = 20
    room: int | None = None


def archive_format(path: Path) -> Format | None:
    """The format by the file's first bytes; None for everything that is no archive."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Format.ZIP
    if head.startswith(b"\x1f\x8b"):
        return Format.TAR_GZ
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        return Format.TAR
    return None


def unpack(archive: Path, to: Path, limits: ArchiveLimits | None = None) -> tuple[FileDigest, ...]:
    """Unpack an archive into the new folder `to` and return its files, sorted.

    Modes, owners and times of the members are not taken over. On an error `to` may hold a part.

    Raises:
        StorageError: ArchiveBroken (no archive, truncated, bad checksum), ArchiveUnsafe (paths that
            leave the folder, links, devices, encrypted or duplicate members, names that are not
            plain UTF-8), ArchiveTooLarge (members, bytes, ratio), NoSpaceLeft, WriteFailed.
    """
    limits = limits or ArchiveLimits()
    form = archive_format(archive)
    if form is None:
        raise _broken(archive, "it is no zip, tar or tar.gz file")
    with writing(to.name):
        to.mkdir(parents=True)
    target = _Target(archive, to, limits)
    with _readable(archive):
        if form is Format.ZIP:
            _unpack_zip(archive, target)
        else:
            _unpack_tar(archive, target, packed=form is Format.TAR_GZ)
    return target.files()


class _Target:
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
            raise _broken(self.archive, f"member {shown_name(name)} has another size than it says")

    def files(self) -> tuple[FileDigest, ...]:
        """What was unpacked; nothing at all is an error."""
        if not self._files:
            raise _broken(self.archive, "it holds no files")
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
        with _readable(self.archive):
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


def _unpack_zip(archive: Path, target: _Target) -> None:
    with archive.open("rb") as file:
        # zipfile holds the whole directory in memory: it is bounded before zipfile sees it.
        if directory_bytes(file) > target.limits.max_members * 1024:
            raise target.too_large()
        file.seek(0)
        with zipfile.ZipFile(file) as source:
            for member in source.infolist():
                _check_zip_member(archive, member)
                if member.is_dir():
                    target.folder(member.filename)
                else:
                    with source.open(member) as content:
                        target.file(member.filename, content, member.file_size)


def _check_zip_member(archive: Path, member: zipfile.ZipInfo) -> None:
    name = member.orig_filename
    if member.flag_bits & _ENCRYPTED:
        raise unsafe_member(archive, name, "is encrypted")
    if not (member.flag_bits & _UTF8 or name.isascii()):
        raise unsafe_member(archive, name, "has a name that is not UTF-8")
    if name != member.filename:
        raise unsafe_member(archive, name, "has an unsafe name")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise unsafe_member(archive, name, "is a link or a device")


def _unpack_tar(archive: Path, target: _Target, *, packed: bool) -> None:
    allowed = target.allowed + _MEMBER_BYTES * (target.limits.max_members + 1)
    with archive.open("rb") as file:
        plain: IO[bytes] = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
        guard = _Guard(plain, allowed, target)
        with tarfile.open(fileobj=guard, mode="r:", encoding="utf-8", errors="strict") as source:
            for member in source:
                _unpack_tar_member(archive, source, member, target)
            guard.seek(source.offset)
            if guard.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise _broken(archive, "it has garbage between its members")


def _unpack_tar_member(
    archive: Path, source: tarfile.TarFile, member: tarfile.TarInfo, target: _Target
) -> None:
    if member.isdir():
        target.folder(member.name)
        return
    content = source.extractfile(member) if member.isreg() and not member.issparse() else None
    if content is None:
        raise unsafe_member(archive, member.name, "is a link, a device or a sparse file")
    with content:
        target.file(member.name, content, member.size)


class _Guard(io.RawIOBase):
    """A reader that refuses what would take a hostile tar's word for memory or time."""

    def __init__(self, plain: IO[bytes], allowed: int, target: _Target) -> None:
        super().__init__()
        self._plain = plain
        self._allowed = allowed
        self._target = target

    def read(self, size: int = -1) -> bytes:
        """At most a header's worth at once."""
        if not 0 <= size <= _HEADER_BYTES:
            raise unsafe_member(self._target.archive, "", "has an oversized header")
        return self._plain.read(size)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Not beyond what the archive may unpack to."""
        if whence == os.SEEK_SET and offset > self._allowed:
            raise self._target.too_large()
        return self._plain.seek(offset, whence)

    def tell(self) -> int:
        """Position in the unpacked stream."""
        return self._plain.tell()

    def seekable(self) -> bool:
        """Yes."""
        return True

    def readable(self) -> bool:
        """Yes."""
        return True


@contextmanager
def _readable(archive: Path) -> Iterator[None]:
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
        raise _broken(archive, "it is truncated, damaged or of an unknown kind") from error


def unsafe_member(archive: Path, name: str, why: str) -> StorageError:
    """The error for a member that is refused."""
    member = f"member {shown_name(name)}" if name else "a member"
    return StorageError(
        ARCHIVE_UNSAFE,
        f"{archive.name}: {member} {why}. Pack plain files with relative names and no links.",
    )


def _broken(archive: Path, why: str) -> StorageError:
    return StorageError(
        ARCHIVE_BROKEN, f"{archive.name} cannot be unpacked: {why}. Pack and upload it again."
    )
