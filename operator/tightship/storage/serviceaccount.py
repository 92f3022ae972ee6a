"""A Google service account's key, and the signed assertion that its tokens are asked for with.

Sources: RFC 7523 (JWT bearer grants), and Google's "OAuth 2.0 for server to server applications".
"""

import base64
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from yarl import URL

from tightship.storage.errors import INVALID_CREDENTIALS, StorageError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

KEY: Final = "gcloud-application-credentials.json"
READ: Final = "https://www.googleapis.com/auth/devstorage.read_only"
WRITE: Final = "https://www.googleapis.com/auth/devstorage.read_write"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_LIFETIME = 3600  # seconds; Google's longest


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A key; nothing of its secret part appears in `repr`. Tokens come from `token_uri`, https."""

    email: str
    token_uri: URL
    key: "RSAPrivateKey" = field(repr=False, compare=False)
    key_id: str = ""

    @classmethod
    def parse(cls, text: str) -> "ServiceAccount":
        """Read the JSON file of a service account's key.

        Raises:
            StorageError: InvalidCredentials for another kind of file, naming what is expected.
        """
        try:
            values = json.loads(text)
            kind = values.get("type")
            if kind == "service_account":
                return cls(
                    email=str(values["client_email"]),
                    token_uri=_https(values["token_uri"]),
                    key=_rsa(str(values["private_key"])),
                    key_id=str(values.get("private_key_id", "")),
                )
        except (ValueError, KeyError, TypeError, AttributeError):
            kind = "damaged"
        raise StorageError(
            INVALID_CREDENTIALS,
            f"The Secret is not usable: {KEY} is no key of a service account ({str(kind)[:40]!a}). "
            "Make one with `gcloud iam service-accounts keys create`.",
        )

    def assertion(self, scope: str, now: int) -> str:
        """A JWT, signed by RS256, that asks for a token of this scope; `now` is Unix time."""
        from cryptography.hazmat.primitives import hashes  # noqa: PLC0415 (memory, see _rsa)
        from cryptography.hazmat.primitives.asymmetric.padding import (  # noqa: PLC0415
            PKCS1v15,
        )

        header = {"alg": "RS256", "typ": "JWT", "kid": self.key_id}
        claims = {
            "iss": self.email,
            "scope": scope,
            "aud": str(self.token_uri),
            "iat": now,
            "exp": now + _LIFETIME,
        }
        text = ".".join(_encoded(json.dumps(part).encode()) for part in (header, claims))
        signature = self.key.sign(text.encode(), PKCS1v15(), hashes.SHA256())
        return f"{text}.{_encoded(signature)}"


def _rsa(pem: str) -> "RSAPrivateKey":
    # Agents of other stores live without the 10 MiB that this library takes.
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415
        load_pem_private_key,
    )

    try:
        key = load_pem_private_key(pem.encode(), password=None)
    except UnsupportedAlgorithm as error:
        raise ValueError("unsupported key") from error
    if not isinstance(key, RSAPrivateKey):
        raise TypeError("no RSA key")
    return key


def _https(text: str) -> URL:
    url = URL(text)
    if url.scheme != "https" or not url.host or url.user:
        raise ValueError("no https address")
    return url


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
