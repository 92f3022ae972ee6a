"""URIs: what is read, and what is refused before anything is reached."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.storage import Scheme, StorageError, parse_uri
from tightship.storage.errors import INVALID_URI, UNSAFE_FILE, UNSUPPORTED_SCHEME
from tightship.storage.uris import safe_path

SEGMENT = st.from_regex(r"\A[A-Za-z0-9_=+ %~-][A-Za-z0-9._=+~-]{0,20}\Z").filter(
    lambda text: " " not in text
)


@pytest.mark.parametrize(
    ("text", "scheme", "authority", "path", "folder"),
    [
        ("s3://models/a/b.onnx", Scheme.S3, "models", "a/b.onnx", False),
        ("S3://models/a/", Scheme.S3, "models", "a", True),
        ("s3://models", Scheme.S3, "models", "", True),
        ("s3://my_Bucket.1/100%25", Scheme.S3, "my_Bucket.1", "100%25", False),
        ("pvc://claim-1/x", Scheme.PVC, "claim-1", "x", False),
        ("pvc://claim-1", Scheme.PVC, "claim-1", "", True),
        ("file:///tmp/x", Scheme.FILE, "", "tmp/x", False),
        ("https://h:8443/a%20b", Scheme.HTTPS, "h:8443", "a%20b", False),
        ("https://h", Scheme.HTTPS, "h", "", True),
        ("oci://h:5000/a/b__c:1.0", Scheme.OCI, "h:5000", "a/b__c", True),
        ("oci://h/a@sha256:" + "0" * 64, Scheme.OCI, "h", "a", True),
        ("gs://models.example.com/a/b.onnx", Scheme.GS, "models.example.com", "a/b.onnx", False),
        ("hf://Org_1/n.a-m", Scheme.HF, "Org_1", "n.a-m", True),
        ("hf://o/n@refs%2Fpr%2F1/onnx/m@1.onnx", Scheme.HF, "o", "n", False),
        ("hf://o/n/onnx/", Scheme.HF, "o", "n", True),
    ],
)
def test_uris_are_read(
    text: str, scheme: Scheme, authority: str, path: str, *, folder: bool
) -> None:
    uri = parse_uri(text)
    assert (uri.scheme, uri.authority, uri.path, uri.folder) == (scheme, authority, path, folder)


@pytest.mark.parametrize(
    "text",
    [
        "s3://",
        "s3:///key",
        "s3://a/x",
        "s3://bu%63ket/x",
        "s3://bucket/../x",
        "s3://bucket/a//b",
        "s3://bucket/./x",
        "s3://bucket/x?versionId=1",
        "s3://bucket/x#y",
        "s3://key:secret@bucket/x",
        "s3://bucket/a b",
        "s3://bucket/a\\b",
        "s3://bucket/a\nb",
        "s3://bucket/" + "x" * 300,
        "s3://bucket/" + "x/" * 1200,
        "gs://",
        "gs://Models/x",
        "gs://models/../x",
        "gs://models/x?generation=1",
        "hf://gpt2",
        "hf://o/",
        "hf://o/n@",
        "hf://o/n@../x",
        "hf://o/n/../x",
        "hf://o/n//x",
        "hf://-o/n",
        "hf://o/n?x",
        "oci://h",
        "oci://h/",
        "oci:///a",
        "oci://h:x/a",
        "oci://h:99999/a",
        "oci://\u00e9/a",
        "oci://h%20h/a",
        "oci://h/A",
        "oci://h/a/",
        "oci://h/a:",
        "oci://h/a:t/b",
        "oci://h/a:t?x=1",
        "oci://h/a@sha256:00",
        "oci://h/a@md5:" + "0" * 32,
        "oci://h/../a",
        "oci://user:canary@h/a",
        "oci://h/" + "a" * 300,
        "pvc://Claim/x",
        "pvc://../x",
        "file://host/x",
        "https:///x",
        "https://user:pass@host/x",
        "https://host/a/%2e%2e/b",
        "https://host/a%00b",
        "https://host/a%2f%2e%2e%2fb",
        "https://host/x#y",
        "https://[::1/x",
    ],
)
def test_ambiguous_uris_are_refused(text: str) -> None:
    with pytest.raises(StorageError) as caught:
        parse_uri(text)
    assert caught.value.reason == INVALID_URI
    assert "secret" not in caught.value.message
    assert "pass" not in caught.value.message.replace("password", "")


@pytest.mark.parametrize("text", ["gcs://b/x", "http://h/x", "ftp://h", "x"])
def test_an_unknown_scheme_names_those_that_are_supported(text: str) -> None:
    with pytest.raises(StorageError) as caught:
        parse_uri(text)
    assert caught.value.reason == UNSUPPORTED_SCHEME
    for scheme in ("s3://", "https://", "pvc://"):
        assert scheme in caught.value.message


def test_a_query_is_sent_but_never_shown() -> None:
    uri = parse_uri("https://host/m.onnx?X-Signature=hidden")
    assert uri.query == "X-Signature=hidden"
    assert "hidden" not in f"{uri} {uri!r}"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("https://h/a/m.onnx", "m.onnx"),
        ("https://h/a%20b.onnx", "a b.onnx"),
        ("https://h/", "download"),
        ("s3://bucket/a%20b", "a%20b"),
    ],
)
def test_the_name_of_a_file(text: str, name: str) -> None:
    assert parse_uri(text).name == name


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/etc/passwd",
        "../x",
        "a/../b",
        "a//b",
        "./a",
        "a/",
        "a\\b",
        "a\x00b",
        "a\nb",
        "a\u2028b",
        "x" * 256,
        "a/" * 600 + "x",
        "bad\udcff",
    ],
)
def test_unsafe_paths_are_refused(path: str) -> None:
    with pytest.raises(StorageError) as caught:
        safe_path(path, "it")
    assert caught.value.reason == UNSAFE_FILE
    assert caught.value.message.isprintable()


@given(st.lists(SEGMENT, min_size=1, max_size=5))
def test_plain_paths_survive_parsing_and_joining(segments: list[str]) -> None:
    path = "/".join(segments)
    assert parse_uri(f"s3://bucket/{path}").path == path
    assert parse_uri("s3://bucket/top/").child(path).path == f"top/{path}"
    assert str(parse_uri(f"pvc://claim/{path}/")) == f"pvc://claim/{path}/"


@given(st.text(max_size=60))
def test_a_safe_path_never_leaves_its_folder(path: str) -> None:
    try:
        safe_path(path, "it")
    except StorageError:
        return
    assert not path.startswith("/")
    assert ".." not in path.split("/")
    assert "\0" not in path


@given(st.text(max_size=80))
def test_parsing_is_total(text: str) -> None:
    for candidate in (text, f"s3://{text}", f"https://{text}", f"pvc://{text}", f"file://{text}"):
        with contextlib.suppress(StorageError):
            uri = parse_uri(candidate)
            assert parse_uri(str(uri)).path == uri.path
