"""Digests of files and folders, the same on every machine."""

import hashlib
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tightship.storage.errors import DIGEST_MISMATCH, StorageError

CHUNK = 1 << 20  # bytes read, hashed and written at a time


@dataclass(frozen=True, slots=True, order=True)
class FileDigest:
    """One file: `path` relative to its folder, `sha256` as 64 hex digits, size in bytes."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True, order=True)
class GitBlob:
    """One file as Git knows it: `sha1` (40 hex digits) is that of its object."""

    path: str
    sha1: str
    bytes: int


class Kind(StrEnum):
    """What a URI turned out to name."""

    FILE = "File"
    FOLDER = "Folder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """What was transferred: `files` sorted by path, lying under `root`.

    `digest` (64 hex digits) is the file's own sha256, or for a folder `folder_digest(files)`.
    """

    root: Path
    kind: Kind
    files: tuple[FileDigest, ...]
    digest: str

    @property
    def bytes(self) -> int:
        """Size of all files together."""
        return sum(file.bytes for file in self.files)


def folder_digest(files: Iterable[FileDigest]) -> str:
    """The sha256 (hex) of a folder.

    Taken over compact JSON `[[path, sha256, bytes], ...]` sorted by path, so neither the order of a
    listing nor times, owners or modes count.
    """
    rows = [[file.path, file.sha256, file.bytes] for file in sorted(files)]
    canonical = json.dumps(rows, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def file_digest(path: Path, name: str | None = None) -> FileDigest:
    """The digest of a local file, under `name` or its own name."""
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return FileDigest(name or path.name, sha256, file.tell())


def same_digest(left: str, right: str) -> bool:
    """Whether two digests agree; the prefix `sha256:` and upper case make no difference."""
    return left.lower().removeprefix("sha256:") == right.lower().removeprefix("sha256:")


async def checked(
    chunks: AsyncIterator[bytes], wanted: FileDigest | GitBlob, subject: str
) -> AsyncGenerator[bytes, None]:
    """The same bytes, which must be those of a digest: not one more is passed on than it has.

    Raises:
        StorageError: DigestMismatch, before the end of the stream is.
    """
    if isinstance(wanted, FileDigest):
        total, digest = hashlib.sha256(), wanted.sha256
    else:
        head = f"blob {wanted.bytes}\0".encode()
        total, digest = hashlib.sha1(head, usedforsecurity=False), wanted.sha1
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > wanted.bytes:
            raise _other_bytes(wanted, subject)
        total.update(chunk)
        yield chunk
    if size != wanted.bytes or total.hexdigest() != digest:
        raise _other_bytes(wanted, subject)


def _other_bytes(wanted: FileDigest | GitBlob, subject: str) -> StorageError:
    return StorageError(
        DIGEST_MISMATCH,
        f"{subject} does not have the {wanted.bytes} bytes that its server announced by their "
        "digest. Upload it again, or restore the source.",
    )


def hexadecimal(value: object, digits: int) -> str:
    """A digest of so many digits; ValueError for anything else."""
    if not isinstance(value, str) or not re.fullmatch(rf"[0-9a-f]{{{digits}}}", value):
        raise ValueError("no digest")
    return value
