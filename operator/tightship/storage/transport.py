"""The package's only HTTP client: listed hosts, pinned addresses, no redirects."""

import asyncio
import random
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import aiohttp
from yarl import URL

from tightship.storage.credentials import Credentials
from tightship.storage.errors import (
    ACCESS_DENIED,
    CERTIFICATE_NOT_TRUSTED,
    INVALID_CREDENTIALS,
    INVALID_RESPONSE,
    INVALID_URI,
    REDIRECT_REFUSED,
    SOURCE_NOT_FOUND,
    SOURCE_UNREACHABLE,
    TIMED_OUT,
    StorageError,
)
from tightship.storage.hosts import HostPolicy, PinningResolver

Body = bytes | AsyncIterator[bytes] | None

CONNECT_SECONDS: Final = 10.0
IDLE_SECONDS: Final = 60.0  # without a single byte from the server
ATTEMPTS: Final = 3
CONNECTIONS: Final = 8  # at a time
_CHUNK = 1 << 18
_ERROR_BYTES = 2048
_S3_CODE = re.compile(rb"<Code>([A-Za-z]{1,50})</Code>")
_KEY_CODES = {
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "XAdminUserNotFound",  # versitygw's, with status 404
}
_OK, _REDIRECT, _CLIENT_ERROR = 200, 300, 400
_DENIED, _MISSING, _TRY_AGAIN = {401, 403}, {404, 410}, {408, 425, 429, 500, 502, 503, 504}


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
    ) -> AsyncGenerator[aiohttp.ClientResponse, None]:
        """Send a request and yield an answer whose status is 2xx.

        A refused connection or an answer that says "later" is tried again a few times; `body` makes
        the content anew for each attempt. `subject` stands for the URL in messages.

        Raises:
            StorageError: see the reasons in `errors`; also for what happens while the caller reads.
        """
        host = self._policy.check(url.host or "", url.port or 0)
        url = url.with_host(host)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                response = await self._send(method, url, headers, subject, body)
                break
            except StorageError as error:
                if not error.retryable or attempt == ATTEMPTS:
                    raise
            await backoff(attempt)
        async with response:
            with _translated(subject, self._idle_seconds):
                yield response

    async def _send(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        subject: str,
        body: Callable[[], Body],
    ) -> aiohttp.ClientResponse:
        session = await self._open()
        sent = {**headers, "Accept-Encoding": "identity"}
        with _translated(subject, self._idle_seconds):
            response = await session.request(
                method, url, headers=sent, data=body(), allow_redirects=False
            )
            if _OK <= response.status < _REDIRECT:
                return response
            async with response:
                raise refused(response, await response.content.read(_ERROR_BYTES), subject)

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


async def backoff(attempt: int) -> None:
    """Wait before the next attempt: 0.2 s, 0.8 s, 3.2 s, with jitter against herds."""
    await asyncio.sleep(0.05 * 4**attempt * random.uniform(0.5, 1))  # noqa: S311 (no secret)


def refused(response: aiohttp.ClientResponse, body: bytes, subject: str) -> StorageError:
    """The error for an answer that is not 2xx, by its status and S3's code in the body's start."""
    status = response.status
    if _REDIRECT <= status < _CLIENT_ERROR:
        return _redirect(response, subject)
    found = _S3_CODE.search(body)
    code = found[1].decode() if found else ""
    shown = f"{status} {code}".strip()
    if status in _DENIED or code in _KEY_CODES:
        return StorageError(
            ACCESS_DENIED,
            f"access to {subject} was denied ({shown}). Check the keys or token in the Secret and "
            "what they may read; some stores say so for a wrong name too.",
        )
    if status in _MISSING:
        return StorageError(
            SOURCE_NOT_FOUND,
            f"{subject} does not exist ({shown}). Check the address and its spelling.",
        )
    if status in _TRY_AGAIN:
        return StorageError(
            SOURCE_UNREACHABLE,
            f"the server of {subject} cannot answer now ({shown}). It is tried again; "
            "check the server when this stays.",
            retryable=True,
        )
    return StorageError(
        INVALID_RESPONSE,
        f"the server of {subject} answered with status {shown}. "
        "Check the address, the endpoint and the region.",
    )


def _redirect(response: aiohttp.ClientResponse, subject: str) -> StorageError:
    try:
        host = response.url.join(URL(response.headers.get("Location", ""))).host or "unknown"
    except ValueError:
        host = "unknown"
    return StorageError(
        REDIRECT_REFUSED,
        f"{subject} redirects to host {ascii(host[:100])[1:-1]}, and redirects are refused. Use "
        "the final address as the source, and have its host allowed in the pool.",
    )


@contextmanager
def _translated(subject: str, idle_seconds: float) -> Iterator[None]:
    try:
        yield
    except aiohttp.ClientSSLError as error:
        raise StorageError(
            CERTIFICATE_NOT_TRUSTED,
            f"the TLS certificate of the server of {subject} is not trusted or not for this name. "
            "Put the CA's certificate into the Secret as ca.crt, or correct the server's.",
        ) from error
    except (TimeoutError, aiohttp.ServerTimeoutError) as error:
        raise StorageError(
            TIMED_OUT,
            f"the server of {subject} sent nothing for {idle_seconds:g} s. It is tried again; "
            "check the server and the network when this stays.",
            retryable=True,
        ) from error
    except aiohttp.ClientPayloadError as error:
        raise StorageError(
            SOURCE_UNREACHABLE,
            f"{subject} broke off before its end. It is tried again; check the server when "
            "this stays.",
            retryable=True,
        ) from error
    except aiohttp.InvalidURL as error:
        raise StorageError(INVALID_URI, f"{subject} is no valid address.") from error
    except aiohttp.ClientConnectionError as error:
        raise StorageError(
            SOURCE_UNREACHABLE,
            f"the server of {subject} cannot be reached. Check that it runs, its port, and that "
            "the network policy lets this pod connect.",
            retryable=True,
        ) from error
    except aiohttp.ClientError as error:
        raise StorageError(
            INVALID_RESPONSE,
            f"the server of {subject} does not speak proper HTTP. Check host and port.",
        ) from error


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
