"""Storage: one interface over all schemes; downloads and uploads with their limits."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import aclosing
from pathlib import Path, PurePosixPath
from typing import Self, TypeVar

from tightship.api.artifact import MANIFEST
from tightship.storage import publication
from tightship.storage.backend import Backend, Entry, Payload, Stat, Versioned, not_found
from tightship.storage.backends import Access, opened
from tightship.storage.digests import (
    Download,
    FileDigest,
    Kind,
    file_digest,
    folder_digest,
    same_digest,
)
from tightship.storage.errors import (
    INVALID_URI,
    SOURCE_NOT_FOUND,
    UNSAFE_FILE,
    UNSUPPORTED_SCHEME,
    StorageError,
)
from tightship.storage.limits import Limits, Meter
from tightship.storage.publication import Publication
from tightship.storage.transfer import bounded, changed, copy_file, remove_files, within
from tightship.storage.tree import check_folder
from tightship.storage.uris import Scheme, Uri, parse_uri, safe_path

_T = TypeVar("_T")
_SMALL = 16 << 20
_MAX_DELETED = 1_000_000


class Storage:
    """Files behind URIs of every scheme; an async context manager.

    Every method raises StorageError and nothing else for what the other side or the disk does.
    A URI names a folder when it ends with `/`, or when no file but files below it exist.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._backends: dict[Scheme, Backend] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for backend in self._backends.values():
            await backend.close()
        self._backends.clear()

    async def stat(self, uri: str) -> Stat:
        """What a URI names: file or folder, and the size where it is known."""
        parsed, backend = self._resolve(uri)
        if parsed.scheme is Scheme.HTTPS and parsed.folder:
            raise StorageError(
                INVALID_URI, f"{parsed} names a folder, which https cannot. Name one file."
            )
        return await backend.stat(parsed)

    async def exists(self, uri: str) -> bool:
        """Whether a URI names a file or a folder with at least one file."""
        try:
            await self.stat(uri)
        except StorageError as error:
            if error.reason == SOURCE_NOT_FOUND:
                return False
            raise
        return True

    async def list(self, uri: str, *, max_files: int = 10_000) -> tuple[Entry, ...]:
        """Every file below a folder, sorted by path; none when there is nothing.

        Raises:
            StorageError: TooManyFiles above `max_files`; UnsafeFile for names that lead elsewhere.
        """
        parsed, backend = self._resolve(uri)
        try:
            entries = await backend.list(parsed, max_files)
        except StorageError as error:
            if error.reason == SOURCE_NOT_FOUND:
                return ()
            raise
        Meter(Limits(max_files=max_files), str(parsed)).expect(len(entries), 0)
        for entry in entries:
            safe_path(entry.path, str(parsed))
        return entries

    async def stream(
        self, uri: str, *, limits: Limits | None = None
    ) -> AsyncGenerator[bytes, None]:
        """The bytes of one file; close the generator (`aclosing`) when it is left early.

        `limits.max_seconds` does not apply: the reader decides how fast it reads.
        """
        parsed, backend = self._resolve(uri)
        meter = Meter(limits or Limits(), str(parsed))
        async with aclosing(backend.stream(parsed)) as chunks:
            async for chunk in chunks:
                meter.add(len(chunk))
                yield chunk

    async def read(self, uri: str, *, max_bytes: int = _SMALL) -> bytes:
        """A small file as a whole."""
        async with aclosing(self.stream(uri, limits=Limits(max_bytes=max_bytes))) as chunks:
            return b"".join([chunk async for chunk in chunks])

    async def download(
        self, uri: str, to: Path, *, limits: Limits | None = None, digest: str | None = None
    ) -> Download:
        """Copy a file or a folder into the local folder `to`, which is made when it is not there.

        A file keeps its name, a folder its relative paths. Each file appears when it is whole. On a
        digest that differs from `digest` (hex, `sha256:` or not) everything written is removed.
        What has versions (oci, hf) is resolved once, and every file is of that version.

        Raises:
            StorageError: SourceNotFound also for an empty folder, SourceTooLarge, TooManyFiles,
                TimedOut, DigestMismatch, UnsafeFile, NoSpaceLeft and what the transfer may raise.
        """
        limits = limits or Limits()
        parsed, backend = self._resolve(uri)
        async with within(limits.max_seconds, parsed):
            if isinstance(backend, Versioned):
                parsed = await backend.resolve(parsed, digest)
                uri = str(parsed)
            stat = await self.stat(uri)
            meter = Meter(limits, uri)
            if stat.kind is Kind.FOLDER:
                files = await self._copy_folder(uri, to, meter)
                found = parsed.digest or folder_digest(files)
            else:
                meter.expect(1, stat.bytes or 0)
                files = (await copy_file(backend, parsed, to, parsed.name, meter),)
                found = files[0].sha256
        if digest is not None and not same_digest(found, digest):
            remove_files(to, files)
            raise changed(parsed, found, digest)
        return Download(root=to, kind=stat.kind, files=files, digest=found)

    async def put_bytes(self, content: bytes, uri: str) -> FileDigest:
        """Create or replace one file."""
        parsed, backend = self._resolve_file(uri)
        digest = FileDigest(parsed.name, hashlib.sha256(content).hexdigest(), len(content))
        await backend.put(parsed, Payload(content, digest))
        return digest

    async def put_file(self, path: Path, uri: str) -> FileDigest:
        """Create or replace one file from a local one."""
        parsed, backend = self._resolve_file(uri)
        digest = await asyncio.to_thread(file_digest, path, parsed.name)
        await backend.put(parsed, Payload(path, digest))
        return digest

    async def put_folder(
        self, folder: Path, uri: str, *, last: str | None = None
    ) -> tuple[FileDigest, ...]:
        """Upload every file of a local folder of plain files; the one named `last` comes last."""
        parsed, backend = self._resolve(uri)
        names = await asyncio.to_thread(check_folder, folder)

        async def put(name: str) -> FileDigest:
            digest = await asyncio.to_thread(file_digest, folder / name, name)
            await backend.put(parsed.child(name), Payload(folder / name, digest))
            return digest

        digests = await bounded(put, [name for name in names if name != last])
        digests += await bounded(put, [name for name in names if name == last])
        return tuple(sorted(digests))

    async def delete(self, uri: str) -> None:
        """Remove one file; nothing there is fine."""
        parsed, backend = self._resolve_file(uri)
        await backend.delete(parsed)

    async def delete_folder(self, uri: str) -> int:
        """Remove every file below a folder and return their number; nothing there is fine.

        Files named manifest.json go first, so that what is half removed is not taken for whole.
        """
        parsed, backend = self._resolve(uri)
        if not parsed.path or not parsed.folder:
            raise StorageError(
                INVALID_URI,
                f"{parsed} is not deleted: name a folder below the top, ending with '/'.",
            )
        entries = await self.list(uri, max_files=_MAX_DELETED)

        async def delete(entry: Entry) -> None:
            await backend.delete(parsed.child(entry.path))

        manifests = [entry for entry in entries if Path(entry.path).name == MANIFEST]
        await bounded(delete, manifests)
        await bounded(delete, set(entries) - set(manifests))
        return len(entries)

    async def publish(self, folder: Path, uri: str) -> Publication:
        """Publish an artifact folder under `uri` (STORE/sha256/KEY/): see `publication.publish`."""
        return await publication.publish(self, folder, uri)

    async def published(self, uri: str) -> Publication | None:
        """What is published under `uri`, or None: see `publication.published`."""
        return await publication.published(self, uri)

    async def fetch(
        self, uri: str, to: Path, *, digest: str, limits: Limits | None = None
    ) -> Download:
        """Download the artifact `digest` and check every byte: see `publication.fetch`."""
        return await publication.fetch(self, uri, to, digest=digest, limits=limits)

    async def copy_files(
        self, uri: str, to: Path, names: Iterable[str], meter: Meter
    ) -> tuple[FileDigest, ...]:
        """Copy files of a folder whose names are known."""
        parsed, backend = self._resolve(uri)

        async def copy(name: str) -> FileDigest:
            return await copy_file(backend, parsed.child(name), to, name, meter)

        return tuple(sorted(await bounded(copy, names)))

    async def _copy_folder(self, uri: str, to: Path, meter: Meter) -> tuple[FileDigest, ...]:
        entries = await self.list(uri, max_files=meter.limits.max_files)
        if not entries:
            raise not_found(parse_uri(uri))
        meter.expect(len(entries), sum(entry.bytes for entry in entries))
        names = [entry.path for entry in entries]
        folders = {str(parent) for name in names for parent in PurePosixPath(name).parents}
        if clash := folders.intersection(names):
            raise StorageError(
                UNSAFE_FILE,
                f"{uri} holds {min(clash)!r} as a file and as a folder. Remove one of them.",
            )
        return await self.copy_files(uri, to, names, meter)

    def _resolve_file(self, uri: str) -> tuple[Uri, Backend]:
        parsed, backend = self._resolve(uri)
        if parsed.folder:
            raise StorageError(INVALID_URI, f"{parsed} names a folder; name the file to write.")
        return parsed, backend

    def _resolve(self, uri: str) -> tuple[Uri, Backend]:
        parsed = parse_uri(uri)
        if parsed.scheme is Scheme.FILE and not self._access.allow_file:
            raise StorageError(
                UNSUPPORTED_SCHEME,
                f"{parsed}: file:// is for development only and is switched off here. "
                "Use s3://, gs://, https://, oci://, hf:// or pvc://.",
            )
        if parsed.scheme not in self._backends:
            self._backends[parsed.scheme] = opened(parsed.scheme, self._access)
        return parsed, self._backends[parsed.scheme]


def run(work: Coroutine[object, object, _T]) -> _T:
    """Run one storage coroutine from synchronous code."""
    return asyncio.run(work)
