"""Secrets in KServe's form, mounted or as data, and that nothing of them is ever shown."""

import base64
from pathlib import Path

import pytest

from tightship.storage import Credentials, S3Settings, StorageError
from tightship.storage.errors import INVALID_CREDENTIALS
from tightship.storage.signing import Signer

KEYS = {"AWS_ACCESS_KEY_ID": "AKIACANARY", "AWS_SECRET_ACCESS_KEY": "canary-secret"}


def test_a_mounted_secret_is_read(tmp_path: Path) -> None:
    secret = {**KEYS, "S3_ENDPOINT": "minio:9000\n", "S3_USE_HTTPS": "0", "ca.crt": "PEM"}
    for key, value in {**secret, "unrelated": "x"}.items():
        (tmp_path / key).write_text(value)
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    found = Credentials.from_folder(tmp_path)
    assert found.access_key_id == "AKIACANARY"
    assert found.secret_access_key == "canary-secret"
    assert found.ca == "PEM"
    assert found.s3 == S3Settings(endpoint="minio:9000", use_https=False)


def test_a_folder_that_is_not_mounted_holds_nothing(tmp_path: Path) -> None:
    assert Credentials.from_folder(tmp_path / "absent") == Credentials()


def test_an_optional_secret_that_is_missing_is_told(tmp_path: Path) -> None:
    (tmp_path / "unrelated").write_text("x")
    with pytest.raises(StorageError, match="does not exist, or has none of the keys") as refused:
        Credentials.from_folder(tmp_path)
    assert refused.value.reason == INVALID_CREDENTIALS


def test_kserve_annotations_are_understood() -> None:
    prefix = "serving.kserve.io/"
    annotations = {
        f"{prefix}s3-endpoint": "s3.example.com",
        f"{prefix}s3-usehttps": "1",
        f"{prefix}s3-region": "eu-west-1",
        f"{prefix}s3-verifyssl": "0",
        f"{prefix}s3-usevirtualbucket": "true",
        f"{prefix}s3-useanoncredential": "False",
        f"{prefix}s3-cabundle": "bundle.pem",
    }
    found = Credentials.from_mapping({**KEYS, "bundle.pem": "PEM"}, annotations)
    assert found.ca == "PEM"
    assert found.s3 == S3Settings(
        endpoint="s3.example.com", region="eu-west-1", verify_ssl=False, virtual_bucket=True
    )


def test_data_wins_over_annotations() -> None:
    found = Credentials.from_mapping(
        {"S3_REGION": "here"}, {"serving.kserve.io/s3-region": "there"}
    )
    assert found.s3.region == "here"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"HTTP_AUTHORIZATION": "Custom x"}, "Custom x"),
        ({"HTTP_BEARER_TOKEN": "tok"}, "Bearer tok"),
        (
            {"HTTP_USERNAME": "me", "HTTP_PASSWORD": "pw"},
            "Basic " + base64.b64encode(b"me:pw").decode(),
        ),
        ({"HTTP_USERNAME": "me"}, None),
        ({}, None),
    ],
)
def test_headers_for_https(data: dict[str, str], expected: str | None) -> None:
    assert Credentials.from_mapping(data).authorization == expected


@pytest.mark.parametrize(
    "data",
    [
        {"AWS_ACCESS_KEY_ID": "only"},
        {"AWS_SECRET_ACCESS_KEY": "only"},
        {**KEYS, "S3_USE_HTTPS": "maybe"},
        {"HTTP_AUTHORIZATION": "a\nb: c"},
    ],
)
def test_unusable_secrets_are_refused_without_showing_them(data: dict[str, str]) -> None:
    with pytest.raises(StorageError) as caught:
        Credentials.from_mapping(data)
    assert caught.value.reason == INVALID_CREDENTIALS
    assert "canary" not in caught.value.message


def test_a_key_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "AWS_ACCESS_KEY_ID").write_bytes(b"\xff\xfe")
    with pytest.raises(StorageError, match="AWS_ACCESS_KEY_ID"):
        Credentials.from_folder(tmp_path)


def test_no_secret_is_in_a_repr() -> None:
    data = {
        **KEYS,
        "AWS_SESSION_TOKEN": "canary",
        "HTTP_BEARER_TOKEN": "canary",
        "ca.crt": "canary",
    }
    shown = f"{Credentials.from_mapping(data)!r} {Signer('canary', 'canary', 'canary', 'r')!r}"
    assert "canary" not in shown
    assert "CANARY" not in shown
