"""What the other side's answers mean: errors in plain words, redirects, and when to ask again."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import aiohttp
from yarl import URL

from tightship.storage.errors import (
    ACCESS_DENIED,
    CERTIFICATE_NOT_TRUSTED,
    HOST_NOT_ALLOWED,
    INVALID_RESPONSE,
    INVALID_URI,
    REDIRECT_REFUSED,
    SOURCE_NOT_FOUND,
    SOURCE_UNREACHABLE,
    TIMED_OUT,
    StorageError,
)
from tightship.storage.hosts import HostPolicy

_S3_CODE = re.compile(rb"<Code>([A-Za-z]{1,50})</Code>")
_KEY_CODES = {
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "SignatureDoesNotMatch",
    "XAdminUserNotFound",  # versitygw's, with status 404
}
_REDIRECT, _CLIENT_ERROR = 300, 400
_DENIED, _MISSING, _TRY_AGAIN = {401, 403}, {404, 410}, {408, 425, 429, 500, 502, 503, 504}


def is_redirect(response: aiohttp.ClientResponse) -> bool:
    """Whether the answer points to another address."""
    return _REDIRECT <= response.status < _CLIENT_ERROR and "Location" in response.headers


def redirect_target(response: aiohttp.ClientResponse, policy: HostPolicy, subject: str) -> URL:
    """Where an answer points to, when that may be followed: https, on a host of the pool's list.

    Raises:
        StorageError: RedirectRefused, or HostNotAllowed with the host and the field.
    """
    location = response.headers["Location"]
    if not (location.isascii() and location.isprintable()):
        raise _refused_redirect(subject, "to no valid address")
    try:
        target = response.url.join(URL(location, encoded=True))
        host, port = target.host or "", target.port or 0
    except ValueError as error:
        raise _refused_redirect(subject, "to no valid address") from error
    if target.scheme != "https" or target.user is not None or not host:
        where = f"to {target.scheme or 'no'}://{_shown_host(target)}"
        raise _refused_redirect(subject, f"{where}, and only https without a user is followed")
    try:
        return target.with_host(policy.check(host, port)).with_fragment(None)
    except StorageError as error:
        raise StorageError(
            HOST_NOT_ALLOWED,
            f"{subject} redirects to host {_shown_host(target)}, where its server keeps the "
            "content, and that is not on the pool's list. Ask the platform team to add it to "
            "spec.converter.allowedHosts of the ServingPool, or use another source.",
        ) from error


def refuse_packed(response: aiohttp.ClientResponse, subject: str) -> None:
    """Refuse a body in a content coding: digest and size are those of the file.

    Raises:
        StorageError: InvalidResponse.
    """
    coding = response.headers.get("Content-Encoding", "identity").lower()
    if coding != "identity":
        raise StorageError(
            INVALID_RESPONSE,
            f"the server of {subject} sends the file packed ({coding[:20]!a}) although it "
            "was asked not to. Switch the compression of this path off.",
        )


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
        wait = _retry_after(response)
        told = f", and asks to wait {wait:.0f} s" if wait else ""
        return StorageError(
            SOURCE_UNREACHABLE,
            f"the server of {subject} cannot answer now ({shown}){told}. It is tried again; "
            "check the server, and its limits for these credentials, when this stays.",
            retryable=True,
            retry_after=wait,
        )
    return StorageError(
        INVALID_RESPONSE,
        f"the server of {subject} answered with status {shown}. "
        "Check the address, the endpoint and the region.",
    )


def _redirect(response: aiohttp.ClientResponse, subject: str) -> StorageError:
    try:
        target = response.url.join(URL(response.headers.get("Location", "")))
    except ValueError:
        target = URL()
    return _refused_redirect(
        subject, f"to host {_shown_host(target)}, and redirects are refused here"
    )


def _refused_redirect(subject: str, where: str) -> StorageError:
    return StorageError(
        REDIRECT_REFUSED,
        f"{subject} redirects {where}. Use the final address as the source, and have its host "
        "allowed in the pool.",
    )


def _shown_host(target: URL) -> str:
    return ascii((target.host or "unknown")[:100])[1:-1]


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Seconds that the server asks to wait, from RFC 9110's Retry-After in both of its forms."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


@contextmanager
def translated(subject: str, idle_seconds: float) -> Iterator[None]:
    """Turn the HTTP client's exceptions into StorageError, its cause and remedy in plain words."""
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
