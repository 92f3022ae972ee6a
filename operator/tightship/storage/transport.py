"""The package's only HTTP client: listed hosts, pinned addresses, redirects only where asked."""

import asyncio
import random
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Container, Mapping
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from yarl import URL

from tightship.storage.answers import is_redirect, redirect_target, refused, translated
from tightship.storage.credentials import Credentials
from tightship.storage.errors import INVALID_CREDENTIALS, StorageError
from tightship.storage.hosts import HostPolicy, PinningResolver

Body = bytes | AsyncIterator[bytes] | None

CONNECT_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 60.0  # without a single byte from the server
ATTEMPTS: Final = 3
LONGEST_WAIT: Final = 30.0  # that a server may ask for; beyond it the Job ends, and is tried later
CONNECTIONS: Final = 8  # at a time
_CHUNK = 1 << 18
_ERROR_BYTES = 2048
_OK, _REDIRECT = 200, 300


class Transport:
    """Requests to listed hosts with one Secret's trust settings. Opened by its first request."""

    def __init__(
        self,
        policy: HostPolicy,
        credentials: Credentials,
        idle_seconds: float = IDLE_SECONDS,
        *,
        verify: bool = True,
    ) -> None:
        self._policy = policy
        self._ca = credentials.ca
        self._verify = verify
        self._idle_seconds = idle_seconds
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        subject: str,
        body: Callable[[], Body] = lambda: None,
        *,
        statuses: Container[int] = (),
        redirects: int = 0,
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """Send a request and yield an answer whose status is 2xx, or one of `statuses`.

        A refused connection or an answer that says "later" is tried again a few times; `body` makes
        the content anew for each attempt. `subject` stands for the URL in messages. At most
        `redirects` of them are followed, over https and to listed hosts, where nothing of
        `headers` but Accept goes along to another origin.

        Raises:
            StorageError: see the reasons in `errors`; also for what happens while the caller reads.
        """
        url = url.with_host(self._policy.check(url.host or "", url.port or 0))
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = await self._followed(
                    method, url, headers, subject, body, statuses, redirects
                )
                break
            except StorageError as error:
                await pause(error, attempt)
        async with response:
            with translated(subject, self._idle_seconds):
                yield response

    async def _followed(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        subject: str,
        body: Callable[[], Body],
        statuses: Container[int],
        redirects: int,
    ) -> aiohttp.ClientResponse:
        session = await self._open()
        with translated(subject, self._idle_seconds):
            while True:
                response = await session.request(
                    method,
                    url,
                    headers={**headers, "Accept-Encoding": "identity"},
                    data=body(),
                    allow_redirects=False,
                )
                if _OK <= response.status < _REDIRECT or response.status in statuses:
                    return response
                async with response:
                    if not redirects or not is_redirect(response):
                        raise refused(response, await response.content.read(_ERROR_BYTES), subject)
                    target = redirect_target(response, self._policy, subject)
                if target.origin() != url.origin():
                    headers = {k: v for k, v in headers.items() if k == "Accept"}
                    statuses = ()  # its challenge is none of ours to answer
                url, redirects = target, redirects - 1

    async def _open(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                self._session = await self._connectable()
            return self._session

    async def _connectable(self) -> aiohttp.ClientSession:
        context = await asyncio.to_thread(_tls, self._ca, verify=self._verify)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=PinningResolver(self._policy),
                use_dns_cache=False,
                ssl=context,
                limit=2 * CONNECTIONS,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=CONNECT_SECONDS, sock_read=self._idle_seconds
            ),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("Content-Type",),
        )


async def chunks(response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """The body of an answer, in pieces."""
    async for chunk in response.content.iter_chunked(_CHUNK):
        yield chunk


async def pause(error: StorageError, attempt: int) -> None:
    """Wait before the next attempt, as long as the server asks, else 0.2 s, 0.8 s, with jitter.

    Raises:
        StorageError: the given one, when another attempt cannot help or there were enough.
    """
    wait = error.retry_after or 0.0
    if not error.retryable or attempt >= ATTEMPTS or wait > LONGEST_WAIT:
        raise error
    herd = 0.05 * 4**attempt * random.uniform(0.5, 1)  # noqa: S311 (no secret)
    await asyncio.sleep(wait + herd)


def _tls(ca: str | None, *, verify: bool) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca is not None:
        try:
            context.load_verify_locations(cadata=ca)
        except (ssl.SSLError, ValueError) as error:
            raise StorageError(
                INVALID_CREDENTIALS, "ca.crt in the Secret holds no certificates in PEM form."
            ) from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
