"""profile.json comes back as it was written, and nothing else is taken for one."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tightship.triton.errors import trimmed
from tightship.triton.profile import Point, Profile

_times = st.floats(0, 1e6)
_counts = st.integers(1, 10**6)
_points = st.builds(
    Point,
    batch=_counts,
    concurrency=_counts,
    requests=_counts,
    **dict.fromkeys(
        ("seconds", "mean", "p50", "p90", "p99", "throughput", "server_seconds", "busy_seconds"),
        _times,
    ),
    stages=st.dictionaries(st.sampled_from(["queue", "model"]), _times),
)
_profiles = st.builds(
    Profile,
    server=st.text(max_size=10),
    max_batch=_counts,
    load_seconds=_times,
    memory=st.none() | _counts,
    memory_peak=st.none() | _counts,
    memory_source=st.none() | st.sampled_from(["processes", "device"]),
    points=st.lists(_points, max_size=4).map(tuple),
)

POINT: dict[str, Any] = dict.fromkeys(Point.__slots__, 1)


@given(_profiles)
def test_round_trip(profile: Profile) -> None:
    assert Profile.from_json(profile.to_json()) == profile


def test_a_point_is_found_by_where_it_was_measured() -> None:
    there = Point(**{**POINT, "batch": 8, "concurrency": 2})
    profile = Profile(
        server="2.51.0",
        max_batch=8,
        load_seconds=1.0,
        memory=None,
        memory_peak=None,
        memory_source=None,
        points=(Point(**POINT), there),
    )
    assert profile.at(8, 2) is there
    with pytest.raises(KeyError, match="batch 4 at concurrency 1 was not measured"):
        profile.at(4)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        '{"schema": 2}',
        '{"schema": 1}',
        json.dumps({"schema": 1, "points": [{"batch": 1}]}),
        json.dumps({"schema": 1, "points": 3}),
    ],
)
def test_what_is_no_profile_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not a profile|Expecting"):
        Profile.from_json(text)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        pytest.param("a\nb ;\n", "a b", id="one-line"),
        pytest.param("failed: X\n\nAt:\n  /opt/model.py(3): run\n", "failed: X", id="stack"),
        pytest.param("bad Traceback (most recent call last): x", "bad", id="traceback"),
        pytest.param("x" * 500, "x" * 399 + "…", id="long"),
    ],
)
def test_tritons_words_are_trimmed(words: str, told: str) -> None:
    assert trimmed(words) == told
