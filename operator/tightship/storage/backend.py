"""What each kind of storage can do; the rest of the package is built on this."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from tightship.storage.digests import FileDigest, Kind
from tightship.storage.errors import SOURCE_NOT_FOUND, StorageError
from tightship.storage.uris import Uri


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One file of a listing: its path relative to the listed folder, its size in bytes.

    `modified` is when it was last written, in seconds since the epoch by the store's clock; None
    where the store does not tell.
    """

    path: str
    bytes: int
    modified: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stat:
    """What a URI names. `bytes` is None for a folder, and where a server does not tell."""

    kind: Kind
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Payload:
    """What is written: a local file or bytes, and its digest taken beforehand."""

    content: Path | bytes
    digest: FileDigest


class Backend(Protocol):
    """One kind of storage. Every error is a StorageError."""

    async def stat(self, uri: Uri) -> Stat:
        """What the URI names; SourceNotFound for nothing."""
        ...

    async def list(self, uri: Uri, max_files: int) -> tuple[Entry, ...]:
        """Every file below a folder, sorted, none for a folder that is not there."""
        ...

    def stream(self, uri: Uri) -> AsyncGenerator[bytes, None]:
        """The bytes of one file."""
        ...

    async def put(self, uri: Uri, payload: Payload) -> None:
        """Create or replace one file; readers see the old one or the new one."""
        ...

    async def delete(self, uri: Uri) -> None:
        """Remove one file; nothing to remove is fine."""
        ...

    async def close(self) -> None:
        """Give back connections."""
        ...


@runtime_checkable
class Versioned(Backend, Protocol):
    """A backend whose sources have versions under names that move: tags, branches."""

    async def resolve(self, uri: Uri, digest: str | None) -> Uri:
        """The URI of the version that it names now, or of the one that `digest` (hex) fixes."""
        ...


def not_found(uri: Uri) -> StorageError:
    """The error for a URI that names nothing."""
    return StorageError(
        SOURCE_NOT_FOUND, f"{uri} does not exist or is empty. Check the address and its spelling."
    )
