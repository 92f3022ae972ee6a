"""What the API lets through, storage can read: no address is refused only inside a Job."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.api import uris
from tightship.api.fields import SpecError
from tightship.storage import HostPolicy
from tightship.storage.uris import parse_uri

_PIECES = st.sampled_from(
    [
        *"/._-@:?#aB9~+=,;!$&'()*",
        "//",
        "..",
        "bucket",
        "model.onnx",
        ":443",
        "@sha256:" + "0" * 64,
        "s3://",
        "x" * 30,
    ]
)
_TEXT = st.lists(_PIECES, max_size=8).map("".join)
_SCHEMES = st.sampled_from(["s3://", "gs://", "https://", "oci://", "hf://", "pvc://"])


@given(_SCHEMES, _TEXT)
def test_sources(scheme: str, rest: str) -> None:
    try:
        uri = uris.source_uri(scheme + rest, "spec")
    except SpecError:
        return
    assert str(parse_uri(uri)) == uri


@given(st.sampled_from(["s3://", "gs://", "pvc://"]), _TEXT)
def test_stores(scheme: str, rest: str) -> None:
    try:
        uri = uris.store_uri(scheme + rest, "spec")
    except SpecError:
        return
    assert parse_uri(uri).authority


@given(st.from_regex(uris.HOST, fullmatch=True))
def test_hosts(host: str) -> None:
    assert HostPolicy.of(host).allowed == (host,)


CLAIMS = {"pvc://models/a/b": "models", "pvc://models": "models", "gs://models/a": None}


@pytest.mark.parametrize("uri", CLAIMS)
def test_claim(uri: str) -> None:
    assert uris.claim(uri) == CLAIMS[uri]
