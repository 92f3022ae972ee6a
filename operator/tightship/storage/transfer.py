"""Moving many files: a few at a time, each tried again, the whole within a time."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TypeVar

from tightship.storage.backend import Backend
from tightship.storage.digests import FileDigest
from tightship.storage.errors import DIGEST_MISMATCH, TIMED_OUT, StorageError
from tightship.storage.limits import Meter
from tightship.storage.sink import save
from tightship.storage.transport import CONNECTIONS, pause
from tightship.storage.uris import Uri

_I = TypeVar("_I")
_T = TypeVar("_T")


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


async def copy_file(backend: Backend, uri: Uri, to: Path, name: str, meter: Meter) -> FileDigest:
    """Copy one file to `to`/`name`; what may pass is tried again a few times."""
    attempt = 1
    while True:
        try:
            return await _once(backend, uri, to, name, meter)
        except StorageError as error:
            await pause(error, attempt)
        attempt += 1


async def _once(backend: Backend, uri: Uri, to: Path, name: str, meter: Meter) -> FileDigest:
    async with aclosing(backend.stream(uri)) as chunks:
        return await save(chunks, to, name, meter)


@asynccontextmanager
async def within(seconds: float, uri: Uri) -> AsyncIterator[None]:
    """Bound a whole transfer; TimedOut after so many seconds."""
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


def remove_files(folder: Path, files: Iterable[FileDigest]) -> None:
    """Remove what a refused download has written."""
    for file in files:
        (folder / file.path).unlink(missing_ok=True)


def changed(uri: Uri, found: str, wanted: str) -> StorageError:
    """The error for a source that is not what its digest fixes."""
    return StorageError(
        DIGEST_MISMATCH,
        f"{uri} has digest sha256:{found}, wanted is sha256:{wanted.removeprefix('sha256:')}. The "
        "source has changed: correct the digest in the spec, or restore the source.",
    )
