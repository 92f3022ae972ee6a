"""Google Cloud Storage by its JSON API: objects of a bucket, a folder being all below a prefix.

Source: Cloud Storage JSON API v1 (objects: get, list, insert, delete).
"""

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp
from yarl import URL

from tightship.storage.backend import Entry, Payload, Stat, not_found
from tightship.storage.credentials import Credentials
from tightship.storage.digests import CHUNK, Kind
from tightship.storage.errors import (
    DIGEST_MISMATCH,
    INVALID_RESPONSE,
    SOURCE_NOT_FOUND,
    StorageError,
)
from tightship.storage.multipart import read_range
from tightship.storage.serviceaccount import GRANT, READ, WRITE
from tightship.storage.transport import Body, Transport, chunks
from tightship.storage.uris import Uri

_UNAUTHORIZED = 401
_MAX_ANSWER = 16 << 20  # of the API: a thousand objects with long names are some 2 MiB
_PAGE = 1000
_EARLIER = 60  # seconds before its end that a token is not used any more
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
_FIELDS = "nextPageToken,items(name,size,updated)"


class GcsBackend:
    """Objects of Google Cloud Storage, with a service account's key or anonymously."""

    def __init__(self, transport: Transport, credentials: Credentials) -> None:
        self._transport = transport
        self._endpoint = credentials.gcs.endpoint
        # A token never travels in the clear: an emulator without TLS is asked anonymously.
        self._account = credentials.gcs.account if self._endpoint.scheme == "https" else None
        self._tokens: dict[str, tuple[str, float]] = {}
        self._asking = asyncio.Lock()

    async def stat(self, uri: Uri) -> Stat:
        """An object by its metadata, else a folder when any object lies below."""
        if not uri.folder:
            try:
                answer = await self._json(uri, self._object(uri, fields="size"))
                return Stat(kind=Kind.FILE, bytes=_size(answer, uri))
            except StorageError as error:
                if error.reason != SOURCE_NOT_FOUND:
                    raise
        found, _ = await self._page(uri, None, 1)
        if not found:
            raise not_found(uri)
        return Stat(kind=Kind.FOLDER, bytes=None)

    async def list(self, uri: Uri, max_files: int) -> tuple[Entry, ...]:
        """Every object below the prefix, as far as one more than `max_files`."""
        found: list[Entry] = []
        token: str | None = None
        while len(found) <= max_files:
            page, token = await self._page(uri, token, _PAGE)
            found += [entry for entry in page if not entry.path.endswith("/") and entry.path]
            if token is None:
                break
        return tuple(sorted(found))

    async def stream(self, uri: Uri) -> AsyncGenerator[bytes, None]:
        """The object's bytes."""
        async with self._request("GET", uri, self._object(uri, alt="media")) as response:
            async for chunk in chunks(response):
                yield chunk

    async def put(self, uri: Uri, payload: Payload) -> None:
        """Write one object, visible when it is whole; what the server has is compared by its md5.

        md5 is the one digest that both sides compute; it guards against accidents alone.
        """
        size, total = payload.digest.bytes, hashlib.md5(usedforsecurity=False)

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal total
            total = hashlib.md5(usedforsecurity=False)
            async for piece in _pieces(payload.content, size):
                total.update(piece)
                yield piece

        url = self._url(f"upload/storage/v1/b/{uri.authority}/o", uploadType="media", name=uri.path)
        headers = {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
        async with self._request("POST", uri, url, headers, pieces) as response:
            answer = await _answer(response, uri)
        if answer.get("md5Hash") != base64.b64encode(total.digest()).decode():
            await self.delete(uri)
            raise StorageError(
                DIGEST_MISMATCH,
                f"{uri} did not arrive as it was sent, and was removed. It is tried again.",
                retryable=True,
            )

    async def delete(self, uri: Uri) -> None:
        """Remove one object; nothing to remove is fine."""
        try:
            async with self._request("DELETE", uri, self._object(uri)):
                return
        except StorageError as error:
            if error.reason != SOURCE_NOT_FOUND:
                raise

    async def close(self) -> None:
        """Close the connections."""
        await self._transport.close()

    async def _page(
        self, uri: Uri, token: str | None, size: int
    ) -> tuple[tuple[Entry, ...], str | None]:
        prefix = f"{uri.path}/" if uri.path else ""
        query = {"maxResults": str(size), "prefix": prefix, "fields": _FIELDS}
        if token is not None:
            query["pageToken"] = token
        answer = await self._json(uri, self._url(f"storage/v1/b/{uri.authority}/o", **query))
        try:
            entries = tuple(
                Entry(
                    str(item["name"]).removeprefix(prefix), _size(item, uri), _time(item["updated"])
                )
                for item in answer.get("items", ())
            )
            following = answer.get("nextPageToken")
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise _not_gcs(uri) from error
        return entries, str(following) if following else None

    async def _json(self, uri: Uri, url: URL) -> dict[str, Any]:
        async with self._request("GET", uri, url) as response:
            return await _answer(response, uri)

    def _object(self, uri: Uri, **query: str) -> URL:
        return self._url(f"storage/v1/b/{uri.authority}/o/{quote(uri.path, safe='')}", **query)

    def _url(self, path: str, **query: str) -> URL:
        suffix = f"?{urlencode(query, quote_via=quote)}" if query else ""
        return URL(f"{str(self._endpoint).rstrip('/')}/{path}{suffix}", encoded=True)

    @asynccontextmanager
    async def _request(
        self,
        method: str,
        uri: Uri,
        url: URL,
        headers: dict[str, str] | None = None,
        body: Callable[[], Body] = lambda: None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A request with a token; one that is refused is asked for anew, once."""
        scope = READ if method == "GET" else WRITE
        async with AsyncExitStack() as stack:
            for statuses in ({_UNAUTHORIZED} if self._account else set(), set[int]()):
                sent = {**(headers or {}), **await self._authorization(uri, scope)}
                response = await stack.enter_async_context(
                    self._transport.request(method, url, sent, str(uri), body, statuses=statuses)
                )
                if response.status != _UNAUTHORIZED:
                    break
                self._tokens.pop(scope, None)
            yield response

    async def _authorization(self, uri: Uri, scope: str) -> dict[str, str]:
        if self._account is None:
            return {}
        async with self._asking:
            token, end = self._tokens.get(scope, ("", 0.0))
            if time.time() > end - _EARLIER:
                token, end = await self._token(uri, scope)
                self._tokens[scope] = token, end
        return {"Authorization": f"Bearer {token}"}

    async def _token(self, uri: Uri, scope: str) -> tuple[str, float]:
        assert self._account is not None  # noqa: S101 (asked by its only caller)
        now = time.time()
        assertion = self._account.assertion(scope, int(now))
        form = urlencode({"grant_type": GRANT, "assertion": assertion}).encode()
        realm = self._account.token_uri
        subject = f"the token service {realm.host} of {uri}"
        async with self._transport.request("POST", realm, _FORM, subject, lambda: form) as response:
            answer = await _answer(response, uri)
        token, lasts = answer.get("access_token"), answer.get("expires_in", 0)
        if not isinstance(token, str) or not token.isascii() or not token.isprintable():
            raise StorageError(
                INVALID_RESPONSE, f"{subject} sends no token. Check token_uri in the key's file."
            )
        return token, now + (lasts if isinstance(lasts, int) else 0)


def gcs_hosts(credentials: Credentials) -> tuple[str, ...]:
    """Hosts that a policy must list for these credentials: the API's, and the token service's."""
    settings = credentials.gcs
    urls = [settings.endpoint, *([settings.account.token_uri] if settings.account else [])]
    return tuple(host for url in urls if (host := url.host_port_subcomponent))


async def _pieces(content: Path | bytes, size: int) -> AsyncIterator[bytes]:
    if isinstance(content, Path):
        async for piece in read_range(content, 0, size):
            yield piece
        return
    for offset in range(0, size, CHUNK):
        yield content[offset : offset + CHUNK]


async def _answer(response: aiohttp.ClientResponse, uri: Uri) -> dict[str, Any]:
    body = bytearray()
    async for chunk in chunks(response):
        body += chunk
        if len(body) > _MAX_ANSWER:
            raise _not_gcs(uri)
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _not_gcs(uri) from error
    if not isinstance(answer, dict):
        raise _not_gcs(uri)
    return answer


def _size(item: dict[str, Any], uri: Uri) -> int:
    size = str(item.get("size", ""))
    if not size.isascii() or not size.isdecimal():
        raise _not_gcs(uri)
    return int(size)


def _time(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _not_gcs(uri: Uri) -> StorageError:
    return StorageError(
        INVALID_RESPONSE,
        f"the server of {uri} does not answer as Google Cloud Storage does. Check "
        "STORAGE_EMULATOR_HOST in the Secret.",
    )
