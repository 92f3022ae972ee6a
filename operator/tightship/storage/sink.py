"""Writing a stream to a local file: hashed on the way, visible only when whole."""

import asyncio
import errno
import hashlib
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tightship.storage.digests import CHUNK, FileDigest
from tightship.storage.errors import NO_SPACE_LEFT, WRITE_FAILED, StorageError
from tightship.storage.limits import Meter

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@contextmanager
def writing(subject: str) -> Iterator[None]:
    """Turn the local file system's errors into NoSpaceLeft or WriteFailed."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise StorageError(
                NO_SPACE_LEFT,
                f"no space left while writing {subject}. Give the volume more room (a Job's is "
                "spec.converter.scratchSize of the ServingPool), or use a smaller source.",
            ) from error
        raise StorageError(
            WRITE_FAILED,
            f"{subject} cannot be written: {error.strerror or 'input/output error'}. "
            "Check that the volume is mounted for writing and belongs to the pod's user.",
        ) from error


async def save(
    chunks: AsyncIterator[bytes], to: Path, name: str, meter: Meter, mode: int = 0o644
) -> FileDigest:
    """Write a stream to `to`/`name` and return its digest.

    The bytes go to a neighbouring `.part` file first, which takes the final name at the end and is
    removed on any failure. At most `CHUNK` bytes and one piece of the stream are held in memory.

    Raises:
        StorageError: of the stream, of the meter, NoSpaceLeft or WriteFailed.
    """
    target = to / name
    part = target.with_name(f".{target.name[:200]}.part")
    with writing(name):
        await asyncio.to_thread(_prepare, part)
        file = await asyncio.to_thread(_open, part, mode)
    try:
        with file:
            digest = await _pour(chunks, file, name, meter)
        with writing(name):
            part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return digest


async def _pour(
    chunks: AsyncIterator[bytes], file: IO[bytes], name: str, meter: Meter
) -> FileDigest:
    total = hashlib.sha256()
    waiting: list[bytes] = []
    held = size = 0

    def flush(pieces: list[bytes]) -> None:
        for piece in pieces:
            total.update(piece)
            file.write(piece)

    try:
        async for chunk in chunks:
            size += len(chunk)
            meter.add(len(chunk))
            waiting.append(chunk)
            held += len(chunk)
            if held >= CHUNK:
                with writing(name):
                    await asyncio.to_thread(flush, waiting)
                waiting, held = [], 0
        with writing(name):
            await asyncio.to_thread(flush, waiting)
    except BaseException:
        meter.forget(size)
        raise
    return FileDigest(name, total.hexdigest(), size)


def _prepare(part: Path) -> None:
    part.parent.mkdir(parents=True, exist_ok=True)
    part.unlink(missing_ok=True)


def _open(part: Path, mode: int) -> IO[bytes]:
    return os.fdopen(os.open(part, _NEW_FILE, mode), "wb", buffering=0)
