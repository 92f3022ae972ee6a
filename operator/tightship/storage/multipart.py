"""Upload of large files to S3 in parts: each part signed with its digest, aborted when it fails."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from pathlib import Path
from typing import Final, Protocol

import aiohttp

from tightship.storage.digests import CHUNK
from tightship.storage.errors import WRITE_FAILED, StorageError
from tightship.storage.s3xml import completion, parse_completion, parse_upload_id
from tightship.storage.signing import EMPTY_SHA256
from tightship.storage.transport import Body
from tightship.storage.uris import Uri

SINGLE_PUT_BYTES: Final = 256 << 20  # larger files go in parts; S3 takes up to 5 GiB at once
PART_BYTES: Final = 64 << 20  # S3 allows 10,000 parts, so this reaches 625 GiB
Query = tuple[tuple[str, str], ...]


class Request(Protocol):
    """A signed request, as S3Backend makes it."""

    def __call__(
        self,
        method: str,
        uri: Uri,
        query: Query = (),
        *,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Body] = lambda: None,
        sha256: str = EMPTY_SHA256,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """Send it and yield the answer."""
        ...


async def upload_parts(request: Request, uri: Uri, path: Path, size: int) -> None:
    """Upload a file of `size` bytes; readers see it whole or not at all."""
    async with request("POST", uri, (("uploads", ""),)) as response:
        upload = ("uploadId", parse_upload_id(await response.content.read(), str(uri)))
    try:
        tags = [
            await _part(
                request, uri, path, (number, upload), (offset, min(PART_BYTES, size - offset))
            )
            for number, offset in enumerate(range(0, size, PART_BYTES), start=1)
        ]
        text = completion(tags)
        digest = hashlib.sha256(text).hexdigest()
        async with request("POST", uri, (upload,), body=lambda: text, sha256=digest) as response:
            parse_completion(await response.content.read(), str(uri))
    except BaseException:
        # The rest of an upload costs room but is never read: that must not hide the error.
        with suppress(StorageError):
            async with request("DELETE", uri, (upload,)):
                pass
        raise


async def _part(
    request: Request,
    uri: Uri,
    path: Path,
    part: tuple[int, tuple[str, str]],
    span: tuple[int, int],
) -> str:
    number, upload = part
    offset, length = span
    digest = await asyncio.to_thread(_range_digest, path, offset, length)
    async with request(
        "PUT",
        uri,
        (("partNumber", str(number)), upload),
        headers={"Content-Length": str(length)},
        body=lambda: read_range(path, offset, length),
        sha256=digest,
    ) as response:
        return response.headers.get("ETag", "")


async def read_range(path: Path, offset: int, length: int) -> AsyncIterator[bytes]:
    """Bytes of a part of a file, read off the event loop."""
    with path.open("rb") as file:
        file.seek(offset)
        while length > 0:
            chunk = await asyncio.to_thread(file.read, min(CHUNK, length))
            if not chunk:
                raise StorageError(WRITE_FAILED, f"{path.name} became shorter while it was read.")
            length -= len(chunk)
            yield chunk


def _range_digest(path: Path, offset: int, length: int) -> str:
    total = hashlib.sha256()
    with path.open("rb") as file:
        file.seek(offset)
        while length > 0 and (chunk := file.read(min(CHUNK, length))):
            total.update(chunk)
            length -= len(chunk)
    return total.hexdigest()
