"""Reading from https servers: one file for each address, nothing can be listed or written."""

from collections.abc import AsyncGenerator

from yarl import URL

from tightship.storage.answers import refuse_packed
from tightship.storage.backend import Entry, Payload, Stat
from tightship.storage.digests import Kind
from tightship.storage.errors import (
    INVALID_URI,
    UNSUPPORTED_OPERATION,
    StorageError,
)
from tightship.storage.transport import Transport, chunks
from tightship.storage.uris import Uri


class HttpsBackend:
    """Files behind https addresses, asked for with the Secret's Authorization header."""

    def __init__(self, transport: Transport, authorization: str | None) -> None:
        self._transport = transport
        self._headers = {"Authorization": authorization} if authorization else {}

    async def stat(self, uri: Uri) -> Stat:
        """Size by HEAD, as far as the server tells it."""
        async with self._transport.request("HEAD", _url(uri), self._headers, str(uri)) as response:
            return Stat(kind=Kind.FILE, bytes=response.content_length)

    async def list(self, uri: Uri, max_files: int) -> tuple[Entry, ...]:
        """Not possible over https."""
        del max_files
        raise _read_only(uri, "list a folder")

    async def stream(self, uri: Uri) -> AsyncGenerator[bytes, None]:
        """The body of a GET."""
        async with self._transport.request("GET", _url(uri), self._headers, str(uri)) as response:
            refuse_packed(response, str(uri))
            async for chunk in chunks(response):
                yield chunk

    async def put(self, uri: Uri, payload: Payload) -> None:
        """Not possible over https."""
        del payload
        raise _read_only(uri, "write")

    async def delete(self, uri: Uri) -> None:
        """Not possible over https."""
        raise _read_only(uri, "delete")

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()


def _url(uri: Uri) -> URL:
    try:
        return URL(str(uri) + (f"?{uri.query}" if uri.query else ""), encoded=True)
    except ValueError as error:
        raise StorageError(INVALID_URI, f"{uri} is no valid address.") from error


def _read_only(uri: Uri, what: str) -> StorageError:
    return StorageError(
        UNSUPPORTED_OPERATION,
        f"https cannot {what} ({uri}). Use s3://, gs:// or pvc:// for folders and for the store.",
    )
