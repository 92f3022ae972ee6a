"""AWS Signature Version 4 for S3 requests.

Source: "Signature Calculations for the Authorization Header", Amazon S3 API Reference.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

EMPTY_SHA256 = hashlib.sha256(b"").hexdigest()
_UNRESERVED = "-_.~"


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs requests of one key pair for one region."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None
    region: str

    def __repr__(self) -> str:
        return f"Signer(region={self.region!r})"

    def sign(
        self,
        method: str,
        path: str,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        payload_sha256: str,
        now: datetime,
    ) -> dict[str, str]:
        """Headers to send: those given (`host` among them) and the signature's own.

        `path` is the encoded path, `now` the time in UTC.
        """
        stamp = now.strftime("%Y%m%dT%H%M%SZ")
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        sent = {key.lower(): value.strip() for key, value in headers.items()}
        sent |= {"x-amz-date": stamp, "x-amz-content-sha256": payload_sha256}
        if self.session_token:
            sent["x-amz-security-token"] = self.session_token
        names = ";".join(sorted(sent))
        lines = "".join(f"{key}:{sent[key]}\n" for key in sorted(sent))
        request = "\n".join([method, path, encoded_query(query), lines, names, payload_sha256])
        digest = hashlib.sha256(request.encode()).hexdigest()
        signature = self._signature(scope, f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{digest}")
        sent["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.access_key_id}/{scope},"
            f"SignedHeaders={names},Signature={signature}"
        )
        return sent

    def _signature(self, scope: str, text: str) -> str:
        key = f"AWS4{self.secret_access_key}".encode()
        for part in (*scope.split("/"), text):
            key = hmac.digest(key, part.encode(), "sha256")
        return key.hex()


def encoded_path(path: str) -> str:
    """A key's path as S3 wants it on the wire and in the signature."""
    return quote(path, safe=f"{_UNRESERVED}/")


def encoded_query(query: Sequence[tuple[str, str]]) -> str:
    """A query sorted and encoded, the same on the wire as in the signature."""
    pairs = [(quote(key, safe=_UNRESERVED), quote(value, safe=_UNRESERVED)) for key, value in query]
    return "&".join(f"{key}={value}" for key, value in sorted(pairs))
