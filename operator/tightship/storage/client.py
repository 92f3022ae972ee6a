"""Storage: one interface over all schemes; downloads and uploads with their limits."""

import asyncio
import hashlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
)
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Self, TypeVar

from tightship.api.artifact import MANIFEST
from tightship.storage import publication
from tightship.storage.backend import Backend, Entry, Payload, Stat, not_found
from tightship.storage.credentials import Credentials
from tightship.storage.digests import (
    Download,
    FileDigest,
    Kind,
    file_digest,
    folder_digest,
    same_digest,
)
from tightship.storage.errors import (
    DIGEST_MISMATCH,
    INVALID_URI,
    SOURCE_NOT_FOUND,
    TIMED_OUT,
    UNSAFE_FILE,
    UNSUPPORTED_SCHEME,
    StorageError,
)
from tightship.storage.hosts import HostPolicy
from tightship.storage.https import HttpsBackend
from tightship.storage.limits import Limits, Meter
from tightship.storage.local import LocalBackend
from tightship.storage.publication import Publication
from tightship.storage.s3 import S3Backend
from tightship.storage.sink import save
from tightship.storage.transport import ATTEMPTS, CONNECTIONS, IDLE_SECONDS, Transport, backoff
from tightship.storage.tree import check_folder
from tightship.storage.uris import Scheme, Uri, parse_uri, safe_path

_I = TypeVar("_I")
_T = TypeVar("_T")
_SMALL = 16 << 20
_MAX_DELETED = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one process may reach, and with which keys.

    `claims` maps a PersistentVolumeClaim's name to the folder where it is mounted. `allow_file`
    permits file:// (development and tests). `idle_seconds` is how long a server may be silent.
    """

    hosts: HostPolicy = field(default_factory=HostPolicy)
    credentials: Credentials = field(default_factory=Credentials)
    claims: Mapping[str, Path] = field(default_factory=dict)
    allow_file: bool = False
    idle_seconds: float = IDLE_SECONDS


class Storage:
    """Files behind s3://, https://, pvc:// and file:// URIs; an async context manager.

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

        Raises:
            StorageError: SourceNotFound also for an empty folder, SourceTooLarge, TooManyFiles,
                TimedOut, DigestMismatch, UnsafeFile, NoSpaceLeft and what the transfer may raise.
        """
        limits = limits or Limits()
        parsed, backend = self._resolve(uri)
        async with _within(limits.max_seconds, parsed):
            stat = await self.stat(uri)
            meter = Meter(limits, str(parsed))
            if stat.kind is Kind.FOLDER:
                files = await self._copy_folder(uri, to, meter)
                found = folder_digest(files)
            else:
                meter.expect(1, stat.bytes or 0)
                files = (await _copy(backend, parsed, to, parsed.name, meter),)
                found = files[0].sha256
        if digest is not None and not same_digest(found, digest):
            _remove(to, files)
            raise _mismatch(parsed, found, digest)
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
            return await _copy(backend, parsed.child(name), to, name, meter)

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
                "Use s3://, https:// or pvc://.",
            )
        if parsed.scheme not in self._backends:
            self._backends[parsed.scheme] = self._backend(parsed.scheme)
        return parsed, self._backends[parsed.scheme]

    def _backend(self, scheme: Scheme) -> Backend:
        access, credentials = self._access, self._access.credentials
        match scheme:
            case Scheme.S3:
                transport = Transport(
                    access.hosts, credentials, access.idle_seconds, verify=credentials.s3.verify_ssl
                )
                return S3Backend(transport, credentials)
            case Scheme.HTTPS:
                transport = Transport(access.hosts, credentials, access.idle_seconds)
                return HttpsBackend(transport, credentials.authorization)
            case Scheme.PVC:
                return LocalBackend(access.claims)
            case Scheme.FILE:
                return LocalBackend({"": Path("/")})


async def bounded(work: Callable[[_I], Awaitable[_T]], items: Iterable[_I]) -> list[_T]:
    """Do the work on a few items at a time, results in order; the first error ends the rest."""
    gate = asyncio.Semaphore(CONNECTIONS)

    async def one(item: _I) -> _T:
        async with gate:
            return await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]


def run(work: Coroutine[object, object, _T]) -> _T:
    """Run one storage coroutine from synchronous code."""
    return asyncio.run(work)


async def _copy(backend: Backend, uri: Uri, to: Path, name: str, meter: Meter) -> FileDigest:
    for attempt in range(1, ATTEMPTS):
        try:
            return await _copy_once(backend, uri, to, name, meter)
        except StorageError as error:
            if not error.retryable:
                raise
        await backoff(attempt)
    return await _copy_once(backend, uri, to, name, meter)


async def _copy_once(backend: Backend, uri: Uri, to: Path, name: str, meter: Meter) -> FileDigest:
    async with aclosing(backend.stream(uri)) as chunks:
        return await save(chunks, to, name, meter)


@asynccontextmanager
async def _within(seconds: float, uri: Uri) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise StorageError(
            TIMED_OUT,
            f"{uri} did not arrive within {seconds:g} s. Use a faster or smaller source, "
            "or raise the limit.",
            retryable=True,
        ) from error


def _remove(folder: Path, files: Iterable[FileDigest]) -> None:
    for file in files:
        (folder / file.path).unlink(missing_ok=True)


def _mismatch(uri: Uri, found: str, wanted: str) -> StorageError:
    return StorageError(
        DIGEST_MISMATCH,
        f"{uri} has digest sha256:{found}, wanted is sha256:{wanted.removeprefix('sha256:')}. The "
        "source has changed: correct the digest in the spec, or restore the source.",
    )
