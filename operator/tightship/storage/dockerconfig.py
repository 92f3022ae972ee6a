"""Logins to registries, read from the Secret that `kubectl create secret docker-registry` makes.

Source: the `auths` of Docker's config.json, as Kubernetes takes them in a Secret of the type
kubernetes.io/dockerconfigjson.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tightship.storage.errors import INVALID_CREDENTIALS, StorageError

KEY: Final = ".dockerconfigjson"
HUB: Final = "docker.io"
_HUB_NAMES = {"docker.io", "index.docker.io", "registry-1.docker.io"}
_API_PATHS = {"", "v1", "v2"}  # of addresses, which are no part of a repository's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How one registry is logged in to; nothing of it appears in `repr`.

    `basic` is a whole Authorization header, `identity_token` a refresh token for the token
    service, `registry_token` a token for the registry itself.
    """

    basic: str | None = field(default=None, repr=False)
    identity_token: str | None = field(default=None, repr=False)
    registry_token: str | None = field(default=None, repr=False)


def parse_logins(text: str) -> dict[str, Login]:
    """Logins by `REGISTRY` or `REGISTRY/PATH`, lower case, without scheme.

    Raises:
        StorageError: InvalidCredentials for what is no such configuration.
    """
    try:
        auths = json.loads(text)["auths"]
        return {_place(name): _login(entry) for name, entry in auths.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise StorageError(
            INVALID_CREDENTIALS,
            f"The Secret is not usable: {KEY} is no Docker configuration with `auths`. Make it "
            "with `kubectl create secret docker-registry`.",
        ) from error


def login_for(logins: Mapping[str, Login], registry: str, repository: str) -> Login | None:
    """The login of the longest entry that the repository lies in."""
    place = f"{_place(registry)}/{repository}"
    matching = [name for name in logins if f"{place}/".startswith(f"{name}/")]
    return logins[max(matching, key=len)] if matching else None


def _place(name: str) -> str:
    host, _, path = name.rpartition("://")[2].strip("/").lower().partition("/")
    host = HUB if host in _HUB_NAMES else host.removesuffix(":443")
    return host if path in _API_PATHS else f"{host}/{path}"


def _login(entry: Mapping[str, Any]) -> Login:
    user, password = entry.get("username"), entry.get("password")
    if auth := entry.get("auth"):
        try:
            user, _, password = base64.b64decode(auth, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise ValueError(auth) from error
    basic = None
    if user and password:
        pair = f"{user}:{password.rstrip(chr(0))}"
        basic = "Basic " + base64.b64encode(pair.encode()).decode()
    return Login(
        basic=basic,
        identity_token=_token(entry.get("identitytoken")),
        registry_token=_token(entry.get("registrytoken")),
    )


def _token(value: object) -> str | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not value.isascii() or not value.isprintable():
        raise ValueError("token")
    return value
