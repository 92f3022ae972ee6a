"""S3-compatible object stores, spoken directly over the package's own strict HTTP client."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
from yarl import URL

from tightship.storage.backend import Entry, Payload, Stat, not_found
from tightship.storage.credentials import Credentials, S3Settings
from tightship.storage.digests import CHUNK, Kind
from tightship.storage.errors import INVALID_CREDENTIALS, SOURCE_NOT_FOUND, StorageError
from tightship.storage.multipart import SINGLE_PUT_BYTES, read_range, upload_parts
from tightship.storage.s3xml import Page, parse_page
from tightship.storage.signing import EMPTY_SHA256, Signer, encoded_path, encoded_query
from tightship.storage.transport import Body, Transport, chunks
from tightship.storage.uris import Uri

Query = tuple[tuple[str, str], ...]


class S3Backend:
    """Objects of an S3-compatible server. A folder is every key below a prefix."""

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self._transport = transport
        self._settings = credentials.s3
        self._signer = _signer(credentials)

    async def stat(self, uri: Uri) -> Stat:
        """An object by HEAD, else a folder when any key lies below."""
        if not uri.folder:
            try:
                async with self.request("HEAD", uri) as response:
                    return Stat(kind=Kind.FILE, bytes=response.content_length)
            except StorageError as error:
                if error.reason != SOURCE_NOT_FOUND:
                    raise
        page = await self._page(uri, None, 1)
        if not page.objects:
            raise not_found(uri)
        return Stat(kind=Kind.FOLDER, bytes=None)

    async def list(self, uri: Uri, max_files: int) -> tuple[Entry, ...]:
        """Every object below the prefix, as far as one more than `max_files`."""
        found: list[Entry] = []
        token: str | None = None
        prefix = f"{uri.path}/" if uri.path else ""
        while len(found) <= max_files:
            page = await self._page(uri, token, 1000)
            found += [
                Entry(key.removeprefix(prefix), size, modified)
                for key, size, modified in page.objects
                if not key.endswith("/")
            ]
            token = page.token
            if token is None:
                break
        return tuple(sorted(found))

    async def stream(self, uri: Uri) -> AsyncGenerator[bytes, None]:
        """The object's bytes."""
        async with self.request("GET", uri) as response:
            async for chunk in chunks(response):
                yield chunk

    async def put(self, uri: Uri, payload: Payload) -> None:
        """Write one object; the server checks the digest that is part of the signature."""
        content, size = payload.content, payload.digest.bytes
        if isinstance(content, Path) and size > SINGLE_PUT_BYTES:
            await upload_parts(self.request, uri, content, size)
            return

        def body() -> Body:
            return _pieces(content) if isinstance(content, bytes) else read_range(content, 0, size)

        headers = {"Content-Length": str(size)}
        async with self.request(
            "PUT", uri, headers=headers, body=body, sha256=payload.digest.sha256
        ):
            return

    async def delete(self, uri: Uri) -> None:
        """Remove one object."""
        async with self.request("DELETE", uri):
            return

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def _page(self, uri: Uri, token: str | None, size: int) -> Page:
        query = [("list-type", "2"), ("max-keys", str(size))]
        if uri.path:
            query.append(("prefix", f"{uri.path}/"))
        if token is not None:
            query.append(("continuation-token", token))
        async with self.request("GET", replace(uri, path=""), tuple(query)) as response:
            return parse_page(await response.content.read(), str(uri))

    def request(
        self,
        method: str,
        uri: Uri,
        query: Query = (),
        *,
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Body] = lambda: None,
        sha256: str = EMPTY_SHA256,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """A signed request for an object, or for the bucket where the path is empty."""
        url = self._url(uri, query)
        signed = {"host": url.host_port_subcomponent or ""}
        if self._signer is not None:
            now = datetime.now(UTC)
            signed = self._signer.sign(method, url.raw_path, query, signed, sha256, now)
        return self._transport.request(method, url, {**signed, **(headers or {})}, str(uri), body)

    def _url(self, uri: Uri, query: Query) -> URL:
        base = bucket_url(self._settings, uri.authority)
        suffix = f"?{encoded_query(query)}" if query else ""
        return URL(f"{base}{encoded_path(uri.path)}{suffix}", encoded=True)


def bucket_url(settings: S3Settings, bucket: str) -> URL:
    """Where a bucket is, with a final slash; a policy must list its `host_port_subcomponent`.

    Raises:
        StorageError: InvalidCredentials when the endpoint is no host.
    """
    base = _endpoint(settings)
    virtual = settings.virtual_bucket
    if virtual is None:
        virtual = settings.endpoint is None
    if virtual:
        return base.with_host(f"{bucket}.{base.host}").with_path("/")
    return base.with_path(f"/{bucket}/", encoded=True)


async def _pieces(content: bytes) -> AsyncIterator[bytes]:
    for offset in range(0, len(content), CHUNK):
        yield content[offset : offset + CHUNK]


def _endpoint(settings: S3Settings) -> URL:
    text = settings.endpoint or f"s3.{settings.region}.amazonaws.com"
    if "://" not in text:
        text = f"{'https' if settings.use_https else 'http'}://{text}"
    try:
        url = URL(text)
    except ValueError:
        url = URL()
    plain = url.path in {"", "/"} and not (url.query_string or url.fragment or url.user)
    if url.scheme not in {"http", "https"} or not url.host or not plain:
        raise StorageError(
            INVALID_CREDENTIALS,
            "the S3 endpoint in the Secret must be HOST, HOST:PORT or a URL without path or user. "
            "Correct S3_ENDPOINT or the annotation serving.kserve.io/s3-endpoint.",
        )
    return url


def _signer(credentials: Credentials) -> Signer | None:
    key, secret = credentials.access_key_id, credentials.secret_access_key
    if credentials.s3.anonymous or key is None or secret is None:
        return None
    return Signer(key, secret, credentials.session_token, credentials.s3.region)
