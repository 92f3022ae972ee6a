from typing import Any

import pytest
from benchmarks.optimize import candidates

GATE: dict[str, Any] = {
    "n": 500, "before": 0.9, "after": 0.898, "drop": 0.002, "lower": -0.001, "upper": 0.006,
    "passes": True, "hopeless": False, "worst": None, "worst_class": None, "failed": [],
}  # fmt: skip
OUTSIDE = {**GATE, "upper": 0.02, "passes": False, "failed": ["maxDrop"]}


def candidate(name: str, status: str = "passed", **facts: object) -> dict[str, Any]:
    told = {
        "id": name, "status": status, "reason": "why", "bytes": 2_000_000, "lookSpeedup": None,
        "runtime": None, "triton": None, "gate": None,
    }  # fmt: skip
    return {**told, **facts}


def report(*entries: dict[str, Any], batch: int = 8) -> dict[str, Any]:
    return {
        "candidates": entries,
        "runtime": {"batch": batch},
        "selection": {"reason": "The original is served: no data."},
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("static-int8-percentile", "static-int8"),
        ("static-int8.minmax.all.tensor", "static-int8"),
        ("openvino", "openvino"),
        ("openvino-int8-bf16", "openvino-int8"),
        ("weight-only-int4", "weight-only"),
        ("prune-50+static-int8", "prune+static-int8"),
        ("student-depth", "student-depth"),
    ],
)
def test_the_technique_is_told_by_the_id(name: str, expected: str) -> None:
    assert candidates.technique(name) == expected


def test_of_each_technique_the_one_nearest_to_be_chosen_is_shown() -> None:
    found = candidates.best(
        report(
            candidate("dynamic-int8", "gateFailed", gate=OUTSIDE, lookSpeedup=3.0),
            candidate("dynamic-int8-mixed", gate=GATE, lookSpeedup=1.5),
            candidate("static-int8", gate=GATE, runtime={"speedup": 2.0}, lookSpeedup=2.5),
            candidate("static-int8-wide", gate=GATE, runtime={"speedup": 2.2}),
            candidate("openvino-int8", "chosen", gate=GATE, runtime={"speedup": 4.0}),
            candidate("openvino-int8-bf16", gate=GATE, runtime={"speedup": 4.1}),
            candidate("prune-50", "tooSlow", lookSpeedup=0.9),
            candidate("prune-50+static-int8", "ineligible", bytes=None),
            candidate("weight-only-int8", "ineligible", bytes=None),
        )
    )
    assert [entry["id"] for entry in found] == [
        "dynamic-int8-mixed", "static-int8-wide", "openvino-int8", "prune-50", "weight-only-int8",
    ]  # fmt: skip


def cells(entry: dict[str, Any], batch: int = 8) -> dict[str, str]:
    (line,) = candidates.table(report(entry, batch=batch))
    return dict(zip(candidates.COLUMNS, line, strict=True))


def test_a_timed_candidate_shows_what_the_product_measured() -> None:
    races = {"race": {"batch": 1, "speedup": 1.5}, "batched": {"batch": 8, "speedup": 2.5}}
    found = cells(
        candidate(
            "static-int8", "chosen", reason="", gate=GATE, triton=races, lookSpeedup=9.0,
            runtime={"speedup": 2.0, "batched_speedup": 3.0},
        )
    )  # fmt: skip
    assert found == {
        "candidate": "static-int8", "MB": "2.00", "batch 1": "2.00x", "batch 8": "3.00x",
        "Triton, batch 1": "1.50x", "Triton, batch 8": "2.50x", "metric": "0.8980",
        "loss, with its interval": "+0.0020 (-0.0010 to +0.0060)", "inside gate": "yes",
        "note": "chosen",
    }  # fmt: skip


def test_what_had_a_quick_look_alone_is_marked() -> None:
    found = cells(candidate("fp16", "tooSlow", lookSpeedup=0.8, gate={**OUTSIDE, "lower": None}))
    assert found["batch 1"] == "**0.80x** (quick look)"
    assert found["batch 8"] == found["metric"] == found["inside gate"] == "-"
    assert found["note"] == "tooSlow: why"


@pytest.mark.parametrize("batch", [1, 4])
def test_the_throughput_of_a_smaller_batch_is_not_that_of_eight(batch: int) -> None:
    timed = {"speedup": 2.0, "batched_speedup": 3.0}
    found = cells(candidate("static-int8", runtime=timed), batch)
    assert (found["batch 1"], found["batch 8"]) == ("2.00x", "-")


def test_nothing_timed_is_shown_by_the_looks() -> None:
    told = {**report(candidate("fp16", "tooSlow", lookSpeedup=0.8)), "runtime": None}
    assert candidates.table(told)[0][2] == "**0.80x** (quick look)"


def test_an_unchanged_model_is_told_by_the_fastest_candidates_first() -> None:
    told = candidates.unchanged(
        report(
            candidate("dynamic-int8", "tooSlow", reason="x1.00", lookSpeedup=1.0),
            candidate("static-int8", "tooSlow", reason="x0.63", lookSpeedup=0.63),
            candidate("openvino", "tooSlow", reason="x1.02 through Triton", lookSpeedup=1.15),
            candidate("tensorrt", "ineligible", bytes=None),
        )
    )
    assert told == (
        "no candidate passed; the fastest first: openvino: x1.02 through Triton; "
        "dynamic-int8: x1.00; static-int8: x0.63"
    )


def test_long_reasons_end_at_a_word_and_leave_whole_ones() -> None:
    entries = [
        candidate(name, "tooSlow", reason="words " * 100, lookSpeedup=speed)
        for name, speed in (("fp16", 0.9), ("openvino", 1.1), ("static-int8", 0.5))
    ]
    told = candidates.unchanged(report(*entries))
    assert len(told) <= 500
    assert told.index("openvino: words") < told.index("fp16: words")
    assert "static-int8" not in told
    assert told.endswith("words …")


def test_a_model_without_built_candidates_is_told_by_the_reports_own_reason() -> None:
    told = candidates.unchanged(report(candidate("fp16", "ineligible", bytes=None)))
    assert told == "The original is served: no data."
