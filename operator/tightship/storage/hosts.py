"""Which hosts may be reached: the pool's list, spellings of addresses, resolving and pinning."""

import asyncio
import ipaddress
import re
import socket
from dataclasses import dataclass, field
from typing import Self

from aiohttp.abc import AbstractResolver, ResolveResult

from tightship.storage.errors import (
    HOST_NOT_ALLOWED,
    INVALID_URI,
    SOURCE_UNREACHABLE,
    StorageError,
)

_NAME = re.compile(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")
_MAX_PORT = 65535
_MAX_NAME = 253


def normalise_host(host: str) -> str:
    """One spelling for each host: lower case, no final dot, addresses in their usual form.

    Every form that a C library would take for an IPv4 address (decimal, octal, hexadecimal, fewer
    than four parts) becomes dotted decimal, and so does an IPv4 address mapped into IPv6.

    Raises:
        StorageError: InvalidUri for anything that is neither a name in ASCII nor an address.
    """
    text = host.lower().removesuffix(".")
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if ":" in text:
        return _ipv6(text)
    if _NUMBER.fullmatch(text.rsplit(".", 1)[-1]):
        return _ipv4(text)
    if len(text) > _MAX_NAME or not _NAME.fullmatch(text):
        raise _bad_host(host)
    return text


def _ipv6(text: str) -> str:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError as error:
        raise _bad_host(text) from error
    if address.scope_id:
        raise _bad_host(text)
    return str(address.ipv4_mapped or address)


def _ipv4(text: str) -> str:
    """What inet_aton(3) makes of the text."""
    try:
        parts = [_number(part) for part in text.split(".")]
    except ValueError as error:
        raise _bad_host(text) from error
    last_bits = 8 * (5 - len(parts))
    if last_bits <= 0 or any(part >> 8 for part in parts[:-1]) or parts[-1] >> last_bits:
        raise _bad_host(text)
    value = parts[-1]
    for index, part in enumerate(parts[:-1]):
        value |= part << (24 - 8 * index)
    return str(ipaddress.IPv4Address(value))


def _number(text: str) -> int:
    if text.startswith("0x"):
        return int(text[2:] or "0", 16)
    return int(text, 8) if text.startswith("0") and text != "0" else int(text, 10)


def _bad_host(host: str) -> StorageError:
    return StorageError(
        INVALID_URI,
        f"{host[:100]!a} is no host: use a DNS name in ASCII (punycode) or an IP address.",
    )


@dataclass(frozen=True, slots=True)
class HostPolicy:
    """The hosts that may be reached.

    Each entry is an exact name or address (`s3.example.com`, `10.0.0.7`, `[fd00::7]`), or
    `*.example.com` for every name below it, each with an optional `:PORT`; without one every port
    is meant. Nothing is allowed that is not on the list, private or public.
    """

    allowed: tuple[str, ...] = ()
    _entries: frozenset[tuple[str, int | None]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_entries", frozenset(_entry(text) for text in self.allowed))

    @classmethod
    def of(cls, *allowed: str) -> Self:
        """A policy of these entries."""
        return cls(tuple(allowed))

    def check(self, host: str, port: int) -> str:
        """Return the host in its normal form when it is on the list.

        Raises:
            StorageError: HostNotAllowed, or InvalidUri for something that is no host.
        """
        name = normalise_host(host)
        if not self._lists(name, port):
            raise StorageError(
                HOST_NOT_ALLOWED,
                f"host {_joined(name, port)} is not on the pool's list of allowed hosts. Ask the "
                "platform team to add it to the pool, or use a source on an allowed host.",
            )
        return name

    def check_address(self, host: str, address: str, port: int) -> None:
        """Refuse addresses that a listed name must not lead to.

        A listed name may resolve to a private address (a Service of the cluster does), but to the
        pod itself or to the link-local network, where clouds serve credentials, only when that
        address is on the list too.

        Raises:
            StorageError: HostNotAllowed.
        """
        name = normalise_host(address)
        ip = ipaddress.ip_address(name)
        local = ip.is_loopback or ip.is_link_local or ip.is_unspecified or ip.is_multicast
        if local and host != "localhost" and not self._lists(name, port):
            raise StorageError(
                HOST_NOT_ALLOWED,
                f"host {host} resolves to {name}, a local address that is not on the pool's list "
                "of allowed hosts. Correct the name's DNS record, or use another source.",
            )

    def _lists(self, name: str, port: int) -> bool:
        names = {name}
        if not _is_address(name):
            labels = name.split(".")
            names |= {"*." + ".".join(labels[index:]) for index in range(1, len(labels))}
        return any((each, wanted) in self._entries for each in names for wanted in (port, None))


class PinningResolver(AbstractResolver):
    """Resolves for aiohttp, which then connects to exactly these addresses.

    Name and addresses are checked in the same step as the connection is made with, so a DNS answer
    that changes between check and use (rebinding) changes nothing.
    """

    def __init__(self, policy: HostPolicy) -> None:
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Addresses of a listed host, all of them checked."""
        name = self._policy.check(host, port)
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(name, port, type=socket.SOCK_STREAM, family=family)
        except socket.gaierror as error:
            raise StorageError(
                SOURCE_UNREACHABLE,
                f"host {name} has no address: {error.strerror}. Check the name and the DNS.",
                retryable=True,
            ) from error
        for *_, address in found:
            self._policy.check_address(name, str(address[0]), port)
        return [
            ResolveResult(
                hostname=host,
                host=str(address[0]),
                port=int(address[1]),
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _entry(text: str) -> tuple[str, int | None]:
    host, port = _split_port(text)
    try:
        if host.startswith("*."):
            suffix = normalise_host(host[2:])
            if _is_address(suffix):
                raise ValueError(f"allowed host {text!r}: a pattern cannot end in an address")
            return f"*.{suffix}", port
        return normalise_host(host), port
    except StorageError as error:
        raise ValueError(
            f"allowed host {text!r} is neither a name, nor *.SUFFIX, nor an address"
        ) from error


def _split_port(text: str) -> tuple[str, int | None]:
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in host and not host.endswith("]")):
        return text, None
    if not port.isdecimal() or not 0 < int(port) <= _MAX_PORT:
        raise ValueError(f"allowed host {text!r} has no valid port")
    return host, int(port)


def _is_address(name: str) -> bool:
    return ":" in name or name.rsplit(".", 1)[-1].isdecimal()


def _joined(name: str, port: int) -> str:
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
