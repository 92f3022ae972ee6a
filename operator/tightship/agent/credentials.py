"""The mounted Secret of the pool: certificate, token and Triton key, read anew when it changes."""

import hmac
import logging
import ssl
from pathlib import Path

_FOLDER = "agent"

log = logging.getLogger(__name__)


class CredentialsError(Exception):
    """The Secret is not mounted or incomplete; the text says what is missing."""


class Credentials:
    """The files tls.crt, tls.key, token and triton-key in SECRETS/agent."""

    def __init__(self, secrets: Path) -> None:
        self._folder = secrets / _FOLDER
        self._stamps: dict[str, tuple[int, int]] = {}
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._token = b""
        self.triton_key = self._read("triton-key")
        self.refresh()

    def refresh(self) -> None:
        """Takes over files that have changed; connections that exist keep their certificate.

        Raises:
            CredentialsError: a file is missing, or certificate and key do not belong together.
        """
        if self._changed("token"):
            self._token = self._read("token").encode()
        if self._changed("tls.crt") | self._changed("tls.key"):
            try:
                self.context.load_cert_chain(self._folder / "tls.crt", self._folder / "tls.key")
            except (OSError, ssl.SSLError) as error:
                self._stamps.clear()
                raise CredentialsError(
                    f"the certificate in {self._folder} cannot be used: {error}"
                ) from error

    def accepts(self, authorization: str) -> bool:
        """Whether a header carries the token; a Secret that cannot be read changes nothing."""
        try:
            self.refresh()
        except CredentialsError as error:
            log.error("%s; what was read before stays in force", error)  # noqa: TRY400 (says it all)
        return hmac.compare_digest(authorization.encode(), b"Bearer " + self._token)

    def _changed(self, name: str) -> bool:
        try:
            stat = (self._folder / name).stat()
        except OSError as error:
            raise CredentialsError(f"{self._folder / name} cannot be read: {error}") from error
        stamp = (stat.st_mtime_ns, stat.st_ino)
        changed = self._stamps.get(name) != stamp
        self._stamps[name] = stamp
        return changed

    def _read(self, name: str) -> str:
        try:
            value = (self._folder / name).read_text().strip()
        except OSError as error:
            raise CredentialsError(f"{self._folder / name} cannot be read: {error}") from error
        if not value:
            raise CredentialsError(f"{self._folder / name} is empty; the operator fills it")
        return value
