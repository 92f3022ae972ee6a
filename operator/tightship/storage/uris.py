"""Storage URIs: parsing with refusal of everything ambiguous, joining, and names of files."""

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from tightship.storage.errors import INVALID_URI, UNSAFE_FILE, UNSUPPORTED_SCHEME, StorageError

_MAX_URI = 2048
_MAX_PATH = 1024
_MAX_SEGMENT = 255
_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,62}")
_GCS_BUCKET = re.compile(r"[a-z0-9][-a-z0-9._]{1,220}[a-z0-9]")
_CLAIM = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_REPOSITORY = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"  # each part; OCI Distribution Specification 1.1
_ARTIFACT = re.compile(
    rf"(?P<path>{_REPOSITORY}(/{_REPOSITORY})*)"
    r"(?P<version>(:[A-Za-z0-9_][A-Za-z0-9._-]{0,127})?(@sha256:[0-9a-f]{64})?)"
)
_HUB_NAME = r"[A-Za-z0-9_]([-A-Za-z0-9_.]{0,94}[A-Za-z0-9_])?"
_HUB = re.compile(
    rf"(?P<name>{_HUB_NAME})(?P<version>@[A-Za-z0-9_]([-A-Za-z0-9_.]|%2F){{0,127}})?(/(?P<inside>.*))?"
)
_REGISTRY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+)(:[0-9]{1,5})?")
_MAX_PORT = 65535
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Scheme(StrEnum):
    """The supported schemes."""

    S3 = "s3"
    HTTPS = "https"
    GS = "gs"
    OCI = "oci"
    HF = "hf"
    PVC = "pvc"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Uri:
    """A parsed storage URI.

    `authority` is the bucket, the claim or `host[:port]` ("" for file). `path` has no leading slash
    and, but for https where it stays percent-encoded, is taken literally. `folder` tells that the
    URI ended with `/`. `query` is kept out of `str()`: signed addresses carry secrets there.

    An artifact of a registry is a folder: `path` is its repository, `version` how a version was
    named (`:TAG`, `@sha256:DIGEST`, both or nothing), and `inside` a file of it. Of a repository
    of the Hugging Face Hub, `authority` is the organization, `path` its name, `version` a revision
    (`@REVISION` or nothing), and `inside` a file or folder in it.
    """

    scheme: Scheme
    authority: str
    path: str
    folder: bool = False
    query: str = ""
    version: str = ""
    inside: str = ""

    def __str__(self) -> str:
        tail = "/" if self.folder and self.path else ""
        if self.scheme is Scheme.OCI:
            tail = f"{self.version} ({self.inside})" if self.inside else self.version
        if self.scheme is Scheme.HF:
            tail = self.version + (f"/{self.inside}" if self.inside else "")
            tail += "/" if self.folder and self.inside else ""
        return f"{self.scheme}://{self.authority}/{self.path}{tail}"

    def __repr__(self) -> str:
        return f"Uri({str(self)!r})"

    @property
    def digest(self) -> str | None:
        """The sha256 (hex) that the URI itself fixes; None where it names no digest."""
        return self.version.partition("@sha256:")[2] or None

    @property
    def name(self) -> str:
        """The file name, checked to be harmless; "download" where there is none."""
        last = (self.inside or self.path).rsplit("/", 1)[-1]
        name = unquote(last) if self.scheme is Scheme.HTTPS else last
        return safe_path(name, str(self)) if name else "download"

    def child(self, relative: str) -> "Uri":
        """The URI of a file below this folder."""
        if self.scheme is Scheme.OCI:
            return replace(self, inside=relative, folder=False)
        if self.scheme is Scheme.HF:
            inside = f"{self.inside}/{relative}" if self.inside else relative
            return replace(self, inside=inside, folder=False)
        path = f"{self.path}/{relative}" if self.path else relative
        return replace(self, path=path.strip("/"), folder=relative.endswith("/"))


def parse_uri(text: str) -> Uri:
    """Read a storage URI.

    Raises:
        StorageError: UnsupportedScheme, or InvalidUri with what is wrong and the right form.
    """
    if len(text) > _MAX_URI or _CONTROL.search(text) or " " in text or "\\" in text:
        raise _invalid(
            "an address", "is too long or holds spaces, backslashes or control characters"
        )
    try:
        parts = urlsplit(text)
    except ValueError as error:
        raise _invalid("an address", "is no URI") from error
    try:
        scheme = Scheme(parts.scheme.lower())
    except ValueError as error:
        raise StorageError(
            UNSUPPORTED_SCHEME,
            f"storage scheme {parts.scheme or 'none'!r} is not supported. Use s3://BUCKET/KEY, "
            "gs://BUCKET/KEY, https://HOST/PATH, oci://REGISTRY/REPOSITORY:TAG, hf://ORG/NAME/PATH "
            "or pvc://CLAIM/PATH "
            "(file:///PATH in development only).",
        ) from error
    shown = f"{scheme}://{parts.netloc.rsplit('@', 1)[-1]}{parts.path}"
    if "@" in parts.netloc:
        raise _invalid(shown, "carries a user name or password; put credentials into the Secret")
    if "#" in text:
        raise _invalid(shown, "carries a fragment; write # in a path as %23 (https only)")
    _check_authority(scheme, parts.netloc, shown)
    if ("?" in text) and scheme is not Scheme.HTTPS:
        raise _invalid(shown, "carries a query, which only https addresses may")
    if scheme is Scheme.OCI:
        return _artifact(parts.netloc, parts.path[1:], shown)
    if scheme is Scheme.HF:
        return _hub(parts.netloc, parts.path[1:], shown)
    path = parts.path.lstrip("/") if scheme is Scheme.HTTPS else parts.path[1:]
    folder = path.endswith("/") or not path
    path = path.removesuffix("/")
    if path and not _plain(unquote(path) if scheme is Scheme.HTTPS else path):
        raise _invalid(shown, "has an empty, '.' or '..' part in its path, or a very long one")
    return Uri(scheme, parts.netloc, path, folder, parts.query)


def _artifact(registry: str, text: str, shown: str) -> Uri:
    found = _ARTIFACT.fullmatch(text)
    if found is None or len(found["path"]) > _MAX_SEGMENT:
        raise _invalid(
            shown,
            "names no artifact; the form is oci://REGISTRY/REPOSITORY:TAG or "
            "oci://REGISTRY/REPOSITORY@sha256:DIGEST, the repository in lower case",
        )
    return Uri(Scheme.OCI, registry, found["path"], folder=True, version=found["version"])


def _hub(organization: str, text: str, shown: str) -> Uri:
    found = _HUB.fullmatch(text)
    inside = (found["inside"] or "") if found else ""
    folder = not inside or inside.endswith("/")
    inside = inside.removesuffix("/")
    if found is None or (inside and not _plain(inside)):
        raise _invalid(shown, "names no repository; the form is hf://ORG/NAME@REVISION/PATH")
    version = found["version"] or ""
    return Uri(Scheme.HF, organization, found["name"], folder, version=version, inside=inside)


def safe_path(path: str, subject: str) -> str:
    """Return a relative path of a file as it is, when it stays inside its folder.

    Raises:
        StorageError: UnsafeFile for absolute paths, `..`, empty parts, backslashes, control
            characters and over-long names.
    """
    if not _plain(path):
        raise StorageError(
            UNSAFE_FILE,
            f"{subject} holds a file with the unsafe name {shown_name(path)}. Names must be plain "
            "relative paths without '..', backslashes and control characters: rename it.",
        )
    return path


def shown_name(name: str) -> str:
    """A hostile name in a form that is fit for a message."""
    return ascii(name[:100])


def _plain(path: str) -> bool:
    parts = path.split("/")
    return (
        len(path.encode(errors="replace")) <= _MAX_PATH
        and not _CONTROL.search(path)
        and "\\" not in path
        and not PurePosixPath(path).is_absolute()
        and all(part not in {"", ".", ".."} for part in parts)
        and all(len(part.encode()) <= _MAX_SEGMENT for part in parts)
    )


def _check_authority(scheme: Scheme, authority: str, shown: str) -> None:
    match scheme:
        case Scheme.S3 if not _BUCKET.fullmatch(authority):
            raise _invalid(shown, "has no valid bucket name; the form is s3://BUCKET/KEY")
        case Scheme.GS if not _GCS_BUCKET.fullmatch(authority):
            raise _invalid(shown, "has no valid bucket name; the form is gs://BUCKET/KEY")
        case Scheme.HF if not re.fullmatch(_HUB_NAME, authority):
            raise _invalid(shown, "has no valid organization; the form is hf://ORG/NAME/PATH")
        case Scheme.PVC if not _CLAIM.fullmatch(authority):
            raise _invalid(shown, "has no valid claim name; the form is pvc://CLAIM/PATH")
        case Scheme.FILE if authority:
            raise _invalid(shown, "names a host; the form is file:///PATH")
        case Scheme.HTTPS if not authority:
            raise _invalid(shown, "has no host; the form is https://HOST/PATH")
        case Scheme.OCI if not _is_registry(authority):
            raise _invalid(shown, "has no valid host; the form is oci://REGISTRY/REPOSITORY:TAG")


def _is_registry(authority: str) -> bool:
    found = _REGISTRY.fullmatch(authority)
    return found is not None and int((found[2] or ":0")[1:]) <= _MAX_PORT


def _invalid(shown: str, why: str) -> StorageError:
    return StorageError(INVALID_URI, f"{shown} {why}.")
