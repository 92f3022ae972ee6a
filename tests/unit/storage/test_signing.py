"""Signatures against the published examples of the Amazon S3 API Reference."""

from datetime import UTC, datetime

import pytest

from tightship.storage.signing import EMPTY_SHA256, Signer, encoded_path, encoded_query

SIGNER = Signer(
    "AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", None, "us-east-1"
)
NOW = datetime(2013, 5, 24, tzinfo=UTC)
HOST = {"host": "examplebucket.s3.amazonaws.com"}


@pytest.mark.parametrize(
    ("path", "query", "headers", "signature"),
    [
        (
            "/test.txt",
            [],
            {"range": "bytes=0-9"},
            "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
        ),
        (
            "/",
            [("lifecycle", "")],
            {},
            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
        ),
        (
            "/",
            [("max-keys", "2"), ("prefix", "J")],
            {},
            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
        ),
    ],
)
def test_published_examples(
    path: str, query: list[tuple[str, str]], headers: dict[str, str], signature: str
) -> None:
    sent = SIGNER.sign("GET", path, query, {**HOST, **headers}, EMPTY_SHA256, NOW)
    assert sent["authorization"].endswith(f"Signature={signature}")


def test_a_session_token_is_sent_and_signed() -> None:
    signer = Signer("a", "b", "token", "r")
    sent = signer.sign("GET", "/", [], HOST, EMPTY_SHA256, NOW)
    assert sent["x-amz-security-token"] == "token"
    assert "x-amz-security-token" in sent["authorization"]


def test_keys_are_encoded_once() -> None:
    assert encoded_path("/b/a b+%20\u00e4/x=1") == "/b/a%20b%2B%2520%C3%A4/x%3D1"
    assert encoded_query([("prefix", "a/b"), ("delimiter", "")]) == "delimiter=&prefix=a%2Fb"
