"""The progress line: what is written is read, and nothing else is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.api.progress import Position, Stage, read

numbers = st.integers(1, 999).flatmap(lambda of: st.tuples(st.integers(1, of), st.just(of)))
candidates = st.from_regex(r"[a-z0-9.+_-]{0,20}", fullmatch=True)


@given(stage=st.sampled_from(Stage), count=numbers, candidate=candidates)
def test_what_is_written_is_read(stage: Stage, count: tuple[int, int], candidate: str) -> None:
    counted = Position(stage, *count, candidate)
    assert read(counted.line) == counted
    assert read(Position(stage).line) == Position(stage)


@given(st.text())
def test_any_text_is_read_as_nothing_or_as_what_it_says(text: str) -> None:
    for line in (text, f"progress: {text}", f"progress: time, 1 of 2: {text}"):
        found = read(line)
        assert found is None or found.line == line


@pytest.mark.parametrize(
    "line",
    [
        "candidates, 4 of 11: fp16",
        "progress: lunch",
        "progress: candidates, 5 of 4: fp16",
        "progress: candidates, 0 of 4: fp16",
        "progress: candidates, 1 of 4: an id of spaces",
        f"progress: candidates, 1 of 4: {'x' * 101}",
        "progress: candidates, 1 of 4: fp16\n",
        "progress: candidates, 01 of 4: fp16",
        "progress: candidates, ٣ of 4",
    ],
)
def test_what_is_no_such_line(line: str) -> None:
    assert read(line) is None
