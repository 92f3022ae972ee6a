"""XML of S3 servers, hostile ones too."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.storage import StorageError
from tightship.storage.errors import INVALID_RESPONSE
from tightship.storage.s3xml import parse_completion, parse_page, parse_upload_id

SPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def test_a_page_with_and_without_a_namespace() -> None:
    body = (
        "<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>"
        "<Contents><Key>a&amp;b</Key><Size>3</Size>"
        "<LastModified>1970-01-01T00:01:00.500Z</LastModified></Contents>"
    )
    for space in ("", SPACE):
        page = parse_page(f"<ListBucketResult {space}>{body}</ListBucketResult>".encode(), "it")
        assert page.objects == (("a&b", 3, 60.5),)
        assert page.token == "t"


def test_the_last_page_has_no_token() -> None:
    text = b"<ListBucketResult><NextContinuationToken>t</NextContinuationToken></ListBucketResult>"
    assert parse_page(text, "it").token is None


@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("1970-01-02T00:00:00Z", 86400.0),
        ("1970-01-02T01:00:00+01:00", 86400.0),
        ("1970-01-02T00:00:00", 86400.0),
        ("yesterday", None),
        ("", None),
    ],
)
def test_what_is_no_time_is_an_unknown_one(stamp: str, seconds: float | None) -> None:
    body = f"<Contents><Key>a</Key><Size>3</Size><LastModified>{stamp}</LastModified></Contents>"
    page = parse_page(f"<ListBucketResult>{body}</ListBucketResult>".encode(), "it")
    assert page.objects == (("a", 3, seconds),)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>hello</html>",
        b"<ListBucketResult>",
        b"<ListBucketResult><Contents><Key>a</Key><Size>-1</Size></Contents></ListBucketResult>",
        b"<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        b'<!DOCTYPE x [<!ENTITY e "boom">]><ListBucketResult>&e;</ListBucketResult>',
        b"\xff\xfe\x00",
    ],
)
def test_anything_else_is_no_s3_store(text: bytes) -> None:
    with pytest.raises(StorageError) as caught:
        parse_page(text, "it")
    assert caught.value.reason == INVALID_RESPONSE


@given(st.binary(max_size=200))
def test_reading_is_total(text: bytes) -> None:
    for read in (parse_page, parse_upload_id, parse_completion):
        with pytest.raises(StorageError):
            read(text, "it")


def test_an_error_with_status_200_is_one() -> None:
    with pytest.raises(StorageError) as caught:
        parse_completion(b"<Error><Code>InternalError</Code></Error>", "it")
    assert caught.value.retryable
