"""Edit distance, CTC decoding and error rates, worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.api.v1alpha1 import Metric
from tightship.optimize.failures import RefusalError
from tightship.optimize.metrics import registry, text
from tightship.optimize.metrics.base import Truth

DISTANCES = [
    ("", "", 0),
    ("abc", "", 3),
    ("", "abc", 3),
    ("kitten", "sitting", 3),
    ("flaw", "lawn", 2),
    ("abc", "abc", 0),
    ("grüße", "gruesse", 4),
    (["a", "b"], ["b"], 1),
]


@pytest.mark.parametrize(("first", "second", "expected"), DISTANCES)
def test_distance(first: str, second: str, expected: int) -> None:
    assert text.distance(first, second) == expected


WORD = st.text("ab ", max_size=8)


@given(one=WORD, two=WORD, three=WORD)
def test_distance_is_a_metric(one: str, two: str, three: str) -> None:
    there = text.distance(one, two)
    assert there == text.distance(two, one)
    assert (there == 0) == (one == two)
    assert abs(len(one) - len(two)) <= there <= max(len(one), len(two))
    assert text.distance(one, three) <= there + text.distance(two, three)


CHARSET = ("", "a", "b")


def scores(*rows: str) -> dict[str, np.ndarray]:
    """[n, time, 3] with the named class greatest at each step; `_` is the blank."""
    places = [["_ab".index(letter) for letter in row] for row in rows]
    return {"logits": np.eye(3, dtype=np.float32)[places]}


DECODED = {
    "repetitions are one": ("aaab", "ab"),
    "a blank parts them": ("a_ab", "aab"),
    "blanks alone": ("____", ""),
    "blanks around": ("_ab_", "ab"),
}


@pytest.mark.parametrize("name", DECODED)
def test_greedy_ctc(name: str) -> None:
    path, expected = DECODED[name]
    truth = Truth(labels=np.array(["x"]), charset=CHARSET)
    assert text.decoded(scores(path), truth, Metric.CER) == [expected]


def test_scores_that_are_not_finite_have_no_text() -> None:
    broken = scores("abab", "abab")
    broken["logits"][1, 2] = np.nan
    truth = Truth(labels=np.array(["abab", "abab"]), charset=CHARSET)
    assert text.decoded(broken, truth, Metric.CER) == ["abab", ""]


TEXTS = {
    "text": np.array(["ab", "ü"]),
    "bytes of Triton": np.array([b"ab", "ü".encode()], object),
    "column of text": np.array([["ab"], ["ü"]], object),
}


@pytest.mark.parametrize("name", TEXTS)
def test_text_outputs_are_the_text(name: str) -> None:
    truth = Truth(labels=np.array(["ab", "ü"]))
    assert text.decoded({"t": TEXTS[name]}, truth, Metric.CER) == ["ab", "ü"]
    assert registry.judge("cer", truth, {}, {"t": TEXTS[name]}).value == 0


# Edits over lengths of all samples together: (1 + 0 + 3) / (3 + 5 + 0) characters; by words
# ("a b" for "a c": 1 of 2), right (0 of 3), one too many (1 of 0).
RATES = [
    ("cer", ["abd", "abcde", "abc"], ["abc", "abcde", ""], 4 / 8),
    ("wer", ["a b", "x y z", "w"], ["a c", "x y z", " "], 2 / 5),
    ("wer", ["a  b"], ["a b"], 0.0),
]


@pytest.mark.parametrize(("metric", "answers", "references", "expected"), RATES)
def test_rates(metric: str, answers: list[str], references: list[str], expected: float) -> None:
    truth = Truth(labels=np.array(references))
    found = registry.judge(metric, truth, {}, {"t": np.array(answers)})
    assert found.value == pytest.approx(expected)
    assert found.parts.mean() == pytest.approx(expected)


@given(
    pairs=st.lists(st.tuples(WORD, WORD.filter(bool)), min_size=2, max_size=8),
    order=st.randoms(use_true_random=False),
)
def test_rates_do_not_depend_on_order(pairs: list[tuple[str, str]], order: object) -> None:
    def rate() -> float:
        truth = Truth(labels=np.array([b for _, b in pairs]))
        return registry.judge("cer", truth, {}, {"t": np.array([a for a, _ in pairs])}).value

    before = rate()
    order.shuffle(pairs)  # type: ignore[attr-defined]
    assert rate() == pytest.approx(before)
    assert before >= 0


REFUSED = {
    "numbers": (np.array([1, 2]), None, "fixed-width text"),
    "nothing but empty": (np.array(["", ""]), None, "all empty"),
    "two blanks": (np.array(["a"]), ("", "", "a"), "2 empty entries"),
    "no blank": (np.array(["a"]), ("a", "b"), "0 empty entries"),
    "too long": (np.array(["a" * 10_001]), None, "10001 characters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_labels_that_do_not_fit(name: str) -> None:
    labels, charset, hint = REFUSED[name]
    with pytest.raises(RefusalError, match=hint):
        registry.check(Metric.CER, Truth(labels=labels, charset=charset))


def test_bytes_become_text() -> None:
    checked = registry.check(Metric.WER, Truth(labels=np.array(["grüße".encode()])))
    assert checked.labels.tolist() == ["grüße"]
    with pytest.raises(RefusalError, match="without a single word"):
        registry.check(Metric.WER, Truth(labels=np.array(["  "])))


@pytest.mark.parametrize(
    ("charset", "hint"), [(None, "lack the array 'charset'"), (("", "a"), "charset of 2 entries")]
)
def test_a_charset_that_does_not_fit(charset: tuple[str, ...] | None, hint: str) -> None:
    with pytest.raises(RefusalError, match=hint):
        text.decoded(scores("ab"), Truth(labels=np.array(["ab"]), charset=charset), Metric.CER)
