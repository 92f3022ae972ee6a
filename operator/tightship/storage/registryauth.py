"""Logging in to an OCI registry: its challenge, and tokens of the service that it names.

Sources: Distribution's token authentication specification and RFC 9110, section 11. Credentials go
to the registry itself and to the token service that it names, both over https and on listed hosts.
"""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode

from yarl import URL

from tightship.storage.credentials import Credentials
from tightship.storage.dockerconfig import Login, login_for
from tightship.storage.errors import (
    ACCESS_DENIED,
    HOST_NOT_ALLOWED,
    INVALID_RESPONSE,
    StorageError,
)
from tightship.storage.hosts import HostPolicy
from tightship.storage.transport import Transport
from tightship.storage.uris import Uri

_CLIENT: Final = "tightship"
_MAX_ANSWER = 1 << 20
_CHALLENGE = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_PARAMETER = re.compile(r'([A-Za-z_]+)\s*=\s*(?:"([^"]*)"|([^\s,"]+))')
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a registry asks for: `basic` or `bearer`, with its parameters."""

    scheme: str
    parameters: Mapping[str, str]


def parse_challenges(headers: Iterable[str]) -> tuple[Challenge, ...]:
    """The challenges of WWW-Authenticate headers, one each."""
    found = [match for text in headers if (match := _CHALLENGE.fullmatch(text))]
    return tuple(
        Challenge(
            match[1].lower(),
            {name.lower(): quoted or bare for name, quoted, bare in _PARAMETER.findall(match[2])},
        )
        for match in found
    )


class RegistryLogin:
    """Authorization headers for the repositories of registries, with one Secret."""

    def __init__(self, transport: Transport, policy: HostPolicy, credentials: Credentials) -> None:
        self._transport = transport
        self._policy = policy
        self._credentials = credentials
        self._headers: dict[tuple[str, str], str] = {}

    def header(self, uri: Uri) -> dict[str, str]:
        """What earlier answers have shown to be right for this repository."""
        known = self._headers.get((uri.authority, uri.path))
        return {"Authorization": known} if known else {}

    async def answer(self, uri: Uri, headers: Iterable[str]) -> None:
        """Answer a challenge, so that `header` lets the next request in.

        Raises:
            StorageError: AccessDenied without credentials that fit, HostNotAllowed for a token
                service on another host than those of the pool's list.
        """
        challenges = parse_challenges(headers)
        login = self._login(uri)
        refused = self._headers.pop((uri.authority, uri.path), None)
        for challenge in challenges:
            if challenge.scheme == "bearer":
                if login.registry_token is not None:
                    header = f"Bearer {login.registry_token}"
                else:
                    header = f"Bearer {await self._token(uri, challenge, login)}"
            elif challenge.scheme == "basic" and login.basic is not None:
                header = login.basic
            else:
                continue
            if header != refused:
                self._headers[uri.authority, uri.path] = header
                return
        raise self.denied(uri)

    def denied(self, uri: Uri) -> StorageError:
        """The error for a registry that does not let these credentials in."""
        logins = sorted(self._credentials.logins)[:5]
        if self._login(uri) != Login():
            found = "The login for it in the Secret may not pull there"
        elif logins:
            found = f"The Secret has logins for {', '.join(logins)}, and none for this"
        else:
            found = "The Secret has no login for it, or none is named in secretRef"
        return StorageError(
            ACCESS_DENIED,
            f"the registry of {uri} denied access. {found}: make a Secret with `kubectl create "
            f"secret docker-registry --docker-server={uri.authority} ...` and name it in "
            "secretRef. Some registries say so for a wrong name too.",
        )

    def _login(self, uri: Uri) -> Login:
        found = login_for(self._credentials.logins, uri.authority, uri.path)
        authorization = self._credentials.authorization
        if found is not None or authorization is None:
            return found or Login()
        scheme, _, value = authorization.partition(" ")
        if scheme.lower() == "bearer":
            return Login(registry_token=value)
        return Login(basic=authorization)

    async def _token(self, uri: Uri, challenge: Challenge, login: Login) -> str:
        realm = self._realm(uri, challenge.parameters.get("realm", ""))
        fields = {"scope": f"repository:{uri.path}:pull"}
        if service := challenge.parameters.get("service"):
            fields["service"] = service
        subject = f"the token service {realm.host} of {uri}"
        if login.identity_token is not None:
            fields |= {"grant_type": "refresh_token", "client_id": _CLIENT}
            form = urlencode(fields | {"refresh_token": login.identity_token}).encode()
            request = self._transport.request("POST", realm, _FORM, subject, lambda: form)
        else:
            headers = {"Accept": "application/json"}
            if login.basic is not None:
                headers["Authorization"] = login.basic
            request = self._transport.request("GET", realm.extend_query(fields), headers, subject)
        async with request as response:
            body = await response.content.read(_MAX_ANSWER)
        return _token_of(body, subject)

    def _realm(self, uri: Uri, text: str) -> URL:
        try:
            realm = URL(text)
            host, port = realm.host or "", realm.port or 0
        except ValueError:
            realm, host, port = URL(), "", 0
        if realm.scheme != "https" or not host or realm.user is not None:
            raise StorageError(
                INVALID_RESPONSE,
                f"the registry of {uri} names a token service at {(realm.scheme or 'no')[:20]!a} "
                f"on {host[:100]!a}, which is no plain https address. Credentials are not sent "
                "there: correct the registry's settings.",
            )
        try:
            return realm.with_host(self._policy.check(host, port))
        except StorageError as error:
            raise StorageError(
                HOST_NOT_ALLOWED,
                f"the registry of {uri} has its token service on host {host[:100]!a}, which is not "
                "on the pool's list. Ask the platform team to add it to "
                "spec.converter.allowedHosts of the ServingPool.",
            ) from error


def _token_of(body: bytes, subject: str) -> str:
    try:
        answer = json.loads(body)
        token = answer.get("token") or answer["access_token"]
        usable = token.isascii() and token.isprintable()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        usable = False
    if not usable:
        raise StorageError(
            INVALID_RESPONSE, f"{subject} sends no token. Check the registry's settings."
        )
    return str(token)
