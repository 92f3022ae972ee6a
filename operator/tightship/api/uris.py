"""Names and addresses in resources: Secrets, claims, hosts, entry points, URIs."""

import re

from tightship.api.code import ENTRYPOINT, ENTRYPOINT_MAX
from tightship.api.fields import Fields, Reader, SpecError, string, text

URI_MAX = 1024
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
DNS_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
QUALIFIED_NAME = rf"({DNS_SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?"
LABEL_VALUE = r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?"

_PORT = (
    r"(:([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?"
)
_OCTET = r"(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_PART = r"[a-z0-9_]([-a-z0-9_]*[a-z0-9_])?"
HOST = rf"((\*\.)?({_PART}\.)*[a-z]([-a-z0-9]*[a-z0-9])?|{_OCTET}(\.{_OCTET}){{3}}){_PORT}"
"""A name, *.SUFFIX for every name below it, or an IPv4 address in its usual form; :PORT."""

_BUCKET = r"s3://[A-Za-z0-9][-A-Za-z0-9._]{1,62}"
_GCS = r"gs://[a-z0-9][-a-z0-9._]{1,220}[a-z0-9]"
_HTTPS = rf"https://[A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9])?{_PORT}"
_REPOSITORY = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_ARTIFACT = (
    rf"oci://[A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9])?{_PORT}(/{_REPOSITORY})+"
    r"(:[A-Za-z0-9_][-A-Za-z0-9._]{0,127})?(@sha256:[0-9a-f]{64})?"
)
_HUB_NAME = r"[A-Za-z0-9_]([-A-Za-z0-9_.]{0,94}[A-Za-z0-9_])?"
_HUB = rf"hf://{_HUB_NAME}/{_HUB_NAME}(@[A-Za-z0-9_]([-A-Za-z0-9_.]|%2F){{0,127}})?"
_CLAIM = r"pvc://[a-z0-9]([-a-z0-9]{0,55}[a-z0-9])?"  # names a volume of the pod too
_PATH = r"(/[!-.0-\[\]-~]+)+/?"  # printable ASCII but the backslash
_SOURCE = re.compile(rf"({_BUCKET}|{_GCS}|{_HTTPS}|{_CLAIM}){_PATH}|{_ARTIFACT}|{_HUB}({_PATH}|/)?")
_STORE = re.compile(rf"({_BUCKET}|{_GCS}|{_CLAIM})({_PATH}|/)?")

entrypoint = text(
    ENTRYPOINT,
    "MODULE:NAME or FILE.py:NAME, such as train:Digits or train.py:Digits: a Python module or "
    "file, and a class, function or object in it",
    ENTRYPOINT_MAX,
)
"""What is called in code of the user's."""


def source_uri(value: object, path: str) -> str:
    """The address of a model or of data: s3, gs, https, oci, hf or pvc."""
    uri = _uri(
        value,
        path,
        "s3://, gs://, https://, oci://, hf:// or pvc://",
        r"(s3|gs|https|oci|hf|pvc)://",
    )
    if not _SOURCE.fullmatch(uri):
        raise SpecError(
            f"{path}: must look like s3://BUCKET/KEY, gs://BUCKET/KEY, https://HOST/PATH,"
            " oci://REGISTRY/REPOSITORY:TAG, oci://REGISTRY/REPOSITORY@sha256:DIGEST,"
            " hf://ORG/NAME@REVISION/PATH or pvc://CLAIM/PATH, in printable ASCII without spaces"
        )
    return uri


def store_uri(value: object, path: str) -> str:
    """The address of a store: s3, gs or pvc, since artifacts are written there."""
    uri = _uri(value, path, "s3://, gs:// or pvc://", r"(s3|gs|pvc)://")
    if not _STORE.fullmatch(uri):
        raise SpecError(
            f"{path}: must look like s3://BUCKET/PREFIX, gs://BUCKET/PREFIX or pvc://CLAIM/PATH,"
            " in printable ASCII without spaces"
        )
    return uri


def secret_name(value: object, path: str) -> str:
    """The name inside a reference to a Secret of the same namespace."""
    fields = Fields(value, path)
    name = fields.required("name", subdomain("the name of a Secret of this namespace"))
    fields.end()
    return name


def subdomain(what: str) -> Reader[str]:
    """The name of a Kubernetes object."""
    return text(DNS_SUBDOMAIN, f"{what}: lower-case letters, digits, - and .", 253)


def claim(uri: str) -> str | None:
    """The claim that a URI names; None when it is no pvc:// URI."""
    return uri.removeprefix("pvc://").partition("/")[0] if uri.startswith("pvc://") else None


def _uri(value: object, path: str, named: str, schemes: str) -> str:
    uri = string(value, path)
    if len(uri) > URI_MAX:
        raise SpecError(f"{path}: must be at most {URI_MAX} characters long")
    if not re.match(schemes, uri):
        raise SpecError(f"{path}: must begin with {named}; other places are not supported")
    if re.match(r"[a-z0-9]+://[^/]*@", uri):
        raise SpecError(
            f"{path}: must not hold a user or password;"
            " put credentials into a Secret and name it in secretRef"
        )
    if re.search(r"[?#]", uri):
        raise SpecError(
            f"{path}: must not hold a query or fragment, since a signed address is a credential;"
            " put credentials into a Secret and name it in secretRef"
        )
    if re.search(r"[^:]//|/\.\.?(/|$)", uri):
        raise SpecError(f"{path}: must not hold an empty part, . or .. in its path")
    return uri
