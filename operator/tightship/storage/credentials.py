"""Credentials of a source or a store, read the way KServe reads them."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from yarl import URL

from tightship.storage.dockerconfig import KEY as DOCKER_CONFIG
from tightship.storage.dockerconfig import Login, parse_logins
from tightship.storage.errors import INVALID_CREDENTIALS, StorageError
from tightship.storage.serviceaccount import KEY as SERVICE_ACCOUNT
from tightship.storage.serviceaccount import ServiceAccount

ANNOTATION_PREFIX = "serving.kserve.io/"
_MAX_FILE = 1 << 20
_KEYS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "S3_ENDPOINT",
    "S3_REGION",
    "S3_USE_HTTPS",
    "S3_VERIFY_SSL",
    "S3_USE_VIRTUAL_BUCKET",
    "S3_USE_ANON_CREDENTIAL",
    "HTTP_AUTHORIZATION",
    "HTTP_BEARER_TOKEN",
    "HTTP_USERNAME",
    "HTTP_PASSWORD",
    "HF_TOKEN",
    "HF_ENDPOINT",
    "STORAGE_EMULATOR_HOST",
    SERVICE_ACCOUNT,
    DOCKER_CONFIG,
    "ca.crt",
)
_YES = {"1", "true", "yes"}
_NO = {"0", "false", "no"}


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Where and how S3 is spoken.

    `endpoint` is `host[:port]` or a URL without a path; None is AWS. `virtual_bucket` puts the
    bucket into the host name; None means only for AWS.
    """

    endpoint: str | None = None
    region: str = "us-east-1"
    use_https: bool = True
    verify_ssl: bool = True
    virtual_bucket: bool | None = None
    anonymous: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """Where the Hugging Face Hub's API is spoken, an https URL, and the token for it."""

    endpoint: URL = field(default_factory=lambda: URL("https://huggingface.co"))
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class GcsSettings:
    """Where Google Cloud Storage's JSON API is spoken, and as whom; None is anonymously."""

    endpoint: URL = field(default_factory=lambda: URL("https://storage.googleapis.com"))
    account: ServiceAccount | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Keys and headers for one source or store; nothing of them appears in `repr`.

    `authorization` is the whole Authorization header for https, `logins` are those to registries,
    by their places; `ca` holds certificates (PEM) that are trusted beside the system's.
    """

    access_key_id: str | None = field(default=None, repr=False)
    secret_access_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    authorization: str | None = field(default=None, repr=False)
    ca: str | None = field(default=None, repr=False)
    s3: S3Settings = S3Settings()
    logins: Mapping[str, Login] = field(default_factory=dict)
    hub: HubSettings = field(default_factory=HubSettings)
    gcs: GcsSettings = field(default_factory=GcsSettings)

    @classmethod
    def from_mapping(
        cls, data: Mapping[str, str], annotations: Mapping[str, str] | None = None
    ) -> Self:
        """Read a Secret's data (decoded) and, where known, its annotations.

        Data keys: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION;
        S3_ENDPOINT, S3_REGION, S3_USE_HTTPS, S3_VERIFY_SSL, S3_USE_VIRTUAL_BUCKET and
        S3_USE_ANON_CREDENTIAL, or their annotations serving.kserve.io/s3-endpoint, s3-region,
        s3-usehttps, s3-verifyssl, s3-usevirtualbucket, s3-useanoncredential and s3-cabundle;
        `ca.crt` (or the key that s3-cabundle names); HTTP_AUTHORIZATION, or HTTP_BEARER_TOKEN, or
        HTTP_USERNAME with HTTP_PASSWORD; .dockerconfigjson for registries;
        HF_TOKEN and HF_ENDPOINT for the Hugging Face Hub; gcloud-application-credentials.json and
        STORAGE_EMULATOR_HOST for Google Cloud Storage. Data wins
        over an annotation; other keys are ignored.

        Raises:
            StorageError: InvalidCredentials for half a key pair or a value that cannot be read.
        """
        values = {key: value.strip() for key, value in data.items() if value.strip()}
        settings = _Settings(values, annotations or {})
        key, secret = values.get("AWS_ACCESS_KEY_ID"), values.get("AWS_SECRET_ACCESS_KEY")
        if bool(key) != bool(secret):
            raise _invalid("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY belong together")
        return cls(
            access_key_id=key,
            secret_access_key=secret,
            session_token=values.get("AWS_SESSION_TOKEN"),
            authorization=_authorization(values),
            hub=_hub(values),
            gcs=_gcs(values),
            logins=parse_logins(values[DOCKER_CONFIG]) if DOCKER_CONFIG in values else {},
            ca=values.get(settings.text("", "s3-cabundle") or "ca.crt") or values.get("ca.crt"),
            s3=S3Settings(
                endpoint=settings.text("S3_ENDPOINT", "s3-endpoint"),
                region=settings.text("S3_REGION", "s3-region")
                or values.get("AWS_REGION")
                or values.get("AWS_DEFAULT_REGION")
                or "us-east-1",
                use_https=settings.switch("S3_USE_HTTPS", "s3-usehttps", default=True) is True,
                verify_ssl=settings.switch("S3_VERIFY_SSL", "s3-verifyssl", default=True) is True,
                virtual_bucket=settings.switch("S3_USE_VIRTUAL_BUCKET", "s3-usevirtualbucket"),
                anonymous=settings.switch("S3_USE_ANON_CREDENTIAL", "s3-useanoncredential") is True,
            ),
        )

    @classmethod
    def from_folder(cls, folder: Path) -> Self:
        """Read a mounted Secret: one file for each key. A folder that is not there holds nothing.

        Secrets are mounted as optional, so that a missing one is told here and not by a pod that
        never starts: its folder is there, and empty.

        Raises:
            StorageError: InvalidCredentials for a missing Secret, one with none of our keys, and
                files that are not text or too large.
        """
        files = [path for key in _KEYS if (path := folder / key).is_file()]
        if folder.is_dir() and not files:
            raise _invalid(
                "it does not exist, or has none of the keys that are read (such as"
                " AWS_ACCESS_KEY_ID, S3_ENDPOINT, HTTP_BEARER_TOKEN, HF_TOKEN, .dockerconfigjson)"
            )
        return cls.from_mapping({path.name: _text(path) for path in files})


@dataclass(frozen=True, slots=True)
class _Settings:
    data: Mapping[str, str]
    annotations: Mapping[str, str]

    def text(self, key: str, annotation: str) -> str | None:
        return self.data.get(key) or self.annotations.get(ANNOTATION_PREFIX + annotation) or None

    def switch(self, key: str, annotation: str, *, default: bool | None = None) -> bool | None:
        value = self.text(key, annotation)
        if value is None:
            return default
        if value.lower() in _YES | _NO:
            return value.lower() in _YES
        raise _invalid(f"{key} must be 1 or 0 (or true or false)")


def _authorization(values: Mapping[str, str]) -> str | None:
    user, password = values.get("HTTP_USERNAME"), values.get("HTTP_PASSWORD")
    header = values.get("HTTP_AUTHORIZATION")
    if header is None and (token := values.get("HTTP_BEARER_TOKEN")):
        header = f"Bearer {token}"
    if header is None and user and password:
        header = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    if header and not (header.isascii() and header.isprintable()):
        raise _invalid("the value of the Authorization header must be one line of ASCII")
    return header


def _hub(values: Mapping[str, str]) -> HubSettings:
    text, token = values.get("HF_ENDPOINT"), values.get("HF_TOKEN")
    if token and not (token.isascii() and token.isprintable()):
        raise _invalid("HF_TOKEN must be one line of ASCII")
    if text is None:
        return HubSettings(token=token)
    try:
        url = URL(text)
        plain = url.scheme == "https" and url.host and not (url.user or url.query or url.fragment)
    except ValueError:
        plain = False
    if not plain:
        raise _invalid("HF_ENDPOINT must be an address such as https://HOST, without a user")
    return HubSettings(endpoint=url, token=token)


def _gcs(values: Mapping[str, str]) -> GcsSettings:
    key, text = values.get(SERVICE_ACCOUNT), values.get("STORAGE_EMULATOR_HOST")
    account = ServiceAccount.parse(key) if key else None
    if text is None:
        return GcsSettings(account=account)
    try:
        url = URL(text if "://" in text else f"http://{text}")
        plain = url.scheme in {"http", "https"} and url.host and url.path in {"", "/"}
        plain = plain and not (url.user or url.query or url.fragment)
    except ValueError:
        plain = False
    if not plain:
        raise _invalid("STORAGE_EMULATOR_HOST must be HOST:PORT or a URL without path or user")
    return GcsSettings(endpoint=url, account=account)


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > _MAX_FILE:
            raise _invalid(f"{path.name} is larger than 1 MiB")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _invalid(f"{path.name} cannot be read as UTF-8 text") from error


def _invalid(why: str) -> StorageError:
    return StorageError(
        INVALID_CREDENTIALS, f"The Secret is not usable: {why}. Correct the Secret."
    )
