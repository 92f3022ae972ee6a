"""Tar archives, plain or gzip: names, and members written where a target takes them."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Final

from tightship.storage.errors import ARCHIVE_TOO_LARGE, StorageError
from tightship.storage.unpacking import Target, broken, readable, unsafe_member

_HEADER_BYTES: Final = 1 << 20  # the largest single header that a tar may make us read
_MEMBER_BYTES: Final = 4096  # headers and padding of one tar member, generously
_MAX_PASSED: Final = 100_000  # members that are looked at, taken or not


def unpack_tar(
    archive: Path,
    target: Target,
    *,
    packed: bool,
    taken: Callable[[str], bool] = lambda _: True,
) -> None:
    """Unpack the members whose names are taken; others are passed over, whatever they are."""
    for source, member in _members(archive, target, packed=packed):
        if not taken(plain_name(member)):
            continue
        if member.isdir():
            target.folder(member.name)
            continue
        content = source.extractfile(member) if member.isreg() and not member.issparse() else None
        if content is None:
            raise unsafe_member(archive, member.name, "is a link, a device or a sparse file")
        with content:
            target.file(member.name, content, member.size)


def file_names(archive: Path, target: Target, *, packed: bool) -> list[str]:
    """The names of all members that are no folders, in their order."""
    with readable(archive):
        return [
            plain_name(member)
            for _, member in _members(archive, target, packed=packed)
            if not member.isdir()
        ]


def plain_name(member: tarfile.TarInfo) -> str:
    """A member's name without the `./` that some programs write."""
    return member.name.removeprefix("./")


def _members(
    archive: Path, target: Target, *, packed: bool
) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    allowed = target.allowed + _MEMBER_BYTES * (target.limits.max_members + 1)
    with archive.open("rb") as file:
        plain: IO[bytes] = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
        guard = Guard(plain, allowed, target)
        with tarfile.open(fileobj=guard, mode="r:", encoding="utf-8", errors="strict") as source:
            for number, member in enumerate(source):
                if number >= _MAX_PASSED:
                    raise _too_many(archive)
                yield source, member
            guard.seek(source.offset)
            if guard.read(tarfile.BLOCKSIZE).strip(b"\0"):
                raise broken(archive, "it has garbage between its members")


def _too_many(archive: Path) -> StorageError:
    return StorageError(
        ARCHIVE_TOO_LARGE,
        f"{archive.name} has more than {_MAX_PASSED} members. Pack the model's files only.",
    )


class Guard(io.RawIOBase):
    """A reader that refuses what would take a hostile tar's word for memory or time."""

    def __init__(self, plain: IO[bytes], allowed: int, target: Target) -> None:
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
