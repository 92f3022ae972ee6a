import json
import logging

import pytest

from tightship.controller.logs import JsonFormatter, TextFormatter, redact

SECRET = "cAn4ry-s3cr3t-v4lue"
LEAKS = {
    "a bearer token": f"Authorization: Bearer {SECRET}",
    "a password in a URL": f"https://user:{SECRET}@host/path",
    "a key in a query": f"https://host/?token={SECRET}&x=1",
    "a field of JSON": f'{{"password": "{SECRET}", "user": "me"}}',
    "Triton's header": f"tightship-key: {SECRET}",
    "a private key": f"-----BEGIN PRIVATE KEY-----\n{SECRET}\n-----END PRIVATE KEY-----",
}
HARMLESS = (
    'secret "models" not found',
    "ensure agent secret shared",
    "the token bucket is empty",
    "Secret pool-shared-agent exists",
)


@pytest.mark.parametrize("case", LEAKS)
def test_credentials_are_left_out(case: str) -> None:
    assert SECRET not in redact(LEAKS[case])


@pytest.mark.parametrize("text", HARMLESS)
def test_plain_words_stay(text: str) -> None:
    assert redact(text) == text


def test_a_line_is_json_with_the_objects_fields() -> None:
    record = logging.makeLogRecord(
        {"name": "x", "levelname": "INFO", "msg": "said %s", "args": ("so",)}
        | {"pool": ("ns", "shared"), "count": 3, "leak": f"Bearer {SECRET}"}
    )
    line = json.loads(JsonFormatter().format(record))
    assert line["message"] == "said so"
    assert (line["pool"], line["count"]) == ("ns/shared", 3)
    assert SECRET not in str(line)
    assert "pool=ns/shared" in TextFormatter().format(record)


def test_an_exception_is_one_line() -> None:
    try:
        int(f"Bearer {SECRET}")
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    text = JsonFormatter().format(logging.makeLogRecord({"msg": "m", "exc_info": info}))
    assert "\n" not in text
    assert SECRET not in text
