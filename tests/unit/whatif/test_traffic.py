"""Traffic from files and flags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.cache import REPOSITORY

from tightship.whatif import traffic
from tightship.whatif.errors import QuestionError
from tightship.whatif.traffic import Traffic

EXAMPLE = REPOSITORY / "examples" / "plan" / "traffic.yaml"


def test_the_example_is_read() -> None:
    found = traffic.read(EXAMPLE.read_text(), "traffic.yaml")
    assert found["bert-6-layers"] == Traffic(rate=300, cv=1.5)
    assert found["tft-traffic"] == Traffic(rate=300)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("digits=120", ("digits", Traffic(rate=120))),
        ("digits=0.5,2", ("digits", Traffic(rate=0.5, cv=2))),
        ("*=0", ("*", Traffic(rate=0))),
    ],
)
def test_flags(text: str, expected: tuple[str, Traffic]) -> None:
    assert traffic.flag(text) == expected


@pytest.mark.parametrize("text", ["digits", "=5", "digits=", "digits=x", "digits=1,x", "a=-1"])
def test_wrong_flags_say_what_is_right(text: str) -> None:
    with pytest.raises(QuestionError, match=r"such as digits=120|a number of at least 0"):
        traffic.flag(text)


def test_others_stand_for_whom_nobody_named() -> None:
    given_ = {"a": Traffic(rate=1), "*": Traffic(rate=9)}
    assert traffic.of_all(given_, ["a", "b"]) == {"a": Traffic(rate=1), "b": Traffic(rate=9)}


def test_missing_and_unknown_names_are_told() -> None:
    with pytest.raises(QuestionError, match=r"no traffic of b, c; .* --rate b=SAMPLES"):
        traffic.of_all({"a": Traffic(rate=1)}, ["a", "b", "c"])
    with pytest.raises(QuestionError, match="traffic of x, which no model is called; there are a"):
        traffic.of_all({"x": Traffic(rate=1)}, ["a"])


def test_a_status_tells_what_clients_ask() -> None:
    told = {"requestsPerSecond": "40.00", "samplesPerRequest": "2.50", "burstiness": "1.80"}
    assert traffic.of_status({"traffic": told}) == Traffic(rate=100, cv=1.8)
    assert traffic.of_status({"traffic": {"requestsPerSecond": "3"}}) == Traffic(rate=3)
    assert traffic.of_status({}) is None


WRONG = {
    "no YAML": ("a: [", "not YAML"),
    "a list": ("[1]", "must hold models"),
    "another key": ("models: {}\nother: 1", "must hold models"),
    "no rate": ("models: {a: {cv: 1}}", "models.a: must have rate"),
    "more": ("models: {a: {rate: 1, burst: 2}}", "nothing else"),
    "words": ("models: {a: {rate: often}}", "models.a.rate: must be a number"),
    "yes": ("models: {a: {rate: true}}", "must be a number"),
    "endless": ("models: {a: {rate: .inf}}", "must be a number"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_is_one_line(name: str) -> None:
    text, told = WRONG[name]
    with pytest.raises(QuestionError, match=told) as caught:
        traffic.read(text, "t.yaml")
    assert str(caught.value).startswith("t.yaml: ")


@given(st.text(max_size=200))
def test_no_text_brings_another_error(text: str) -> None:
    try:
        traffic.read(text, "t.yaml")
    except QuestionError as error:
        assert "\n" not in str(error)  # noqa: PT017 (either is right)
