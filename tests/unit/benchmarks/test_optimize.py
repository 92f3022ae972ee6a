import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from benchmarks import record, report
from benchmarks.models import MODELS
from benchmarks.optimize import environment, figures, judge, measure
from benchmarks.optimize.compare import Comparison
from benchmarks.optimize.executable import OPENVINO, Executable
from benchmarks.optimize.measure import Speed
from benchmarks.optimize.product import Optimized
from benchmarks.optimize.rows import COLUMNS, Row

from tightship.api.v1alpha1 import Metric
from tightship.optimize.gate.verdict import Verdict

VERDICT = Verdict(n=500, before=0.9, after=0.898, drop=0.002, lower=-0.001, upper=0.006)
CHOSEN = Row(
    name="tightship: static-int8", bytes=1000, bare={1: 2.5, 8: 3.0}, served={1: 1.5, 8: 2.0},
    verdict=VERDICT,
)  # fmt: skip
BY_HAND = Row(name="OpenVINO", note="does not run: why")
CANDIDATE = {
    "id": "static-int8", "status": "chosen", "reason": "", "bytes": 1000, "lookSpeedup": 2.4,
    "runtime": None, "triton": None, "gate": None,
}  # fmt: skip


def comparison(chosen: Row = CHOSEN, noise: float = 0.05) -> Comparison:
    return Comparison(
        name="mnist",
        optimized=Optimized(
            report={
                "selection": {"variant": "static-int8"},
                "candidates": [CANDIDATE, {**CANDIDATE, "id": "fp16"}],
                "runtime": None,
            },
            artifact=Path(),
            seconds=100.0,
        ),
        speeds={1: Speed(seconds=0.001, noise=noise, ratios={})},
        original=Row(name="original", bytes=4000),
        chosen=chosen,
        rows=[BY_HAND],
    )


def test_a_row_without_figures_says_why_and_shows_none() -> None:
    cells = dict(zip(COLUMNS, BY_HAND.cells(), strict=True))
    assert cells["note"] == "does not run: why"
    assert set(cells.values()) == {"OpenVINO", "-", "does not run: why"}
    assert not BY_HAND.inside


def test_a_row_marks_what_is_slower_and_what_is_outside_the_gate() -> None:
    outside = replace(VERDICT, upper=0.02, failed=("maxDrop",))
    cells = dict(zip(COLUMNS, replace(CHOSEN, bare={1: 0.5}, verdict=outside).cells(), strict=True))
    assert cells["batch 1"] == "**0.50x**"
    assert cells["batch 8"] == "-"
    assert cells["Triton, batch 1"] == "1.50x"
    assert cells["inside gate"] == "**no**"
    assert cells["loss, with its interval"] == "+0.0020 (-0.0010 to +0.0200)"


@pytest.mark.parametrize(
    ("ratios", "expected"), [([2.0, 8.0], 4.0), ([1.0], 1.0), ([], 0.0), ([2.0, 0.0], 0.0)]
)
def test_geometric_mean(ratios: list[float], expected: float) -> None:
    assert figures.mean(ratios) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("bare", "served", "noise", "expected"),
    [
        (2.0, 1.5, 0.05, False),
        (0.97, 1.5, 0.05, False),
        (0.9, 1.5, 0.05, True),
        (2.0, 0.9, 0.05, True),
    ],
)
def test_slower_is_what_loses_more_than_the_noise(
    bare: float, served: float, noise: float, *, expected: bool
) -> None:
    chosen = replace(CHOSEN, bare={1: bare}, served={1: served})
    assert figures.is_slower(comparison(chosen, noise)) is expected


def test_what_did_not_run_is_slower() -> None:
    assert figures.is_slower(comparison(replace(CHOSEN, bare={})))


def test_the_summary_counts_models(capsys: pytest.CaptureFixture[str]) -> None:
    bench = record.Bench("optimize")
    slow = comparison(replace(CHOSEN, bare={1: 1.0}, served={1: 0.5}))
    figures.add_summary(bench, [comparison(), slow], {"magika": "why"})
    values = {figure.name: figure.value for figure in bench.figures}
    assert values["geometric mean speed-up"] == pytest.approx(2.5**0.5, abs=0.001)
    assert values["models at 2x"] == 1
    assert values["models that failed"] == 1
    assert values["models inside gate"] == 2
    assert values["models slower than original"] == 1
    assert values["by hand, OpenVINO, inside gate and faster"] == 0
    assert "MISSED" in capsys.readouterr().out


def test_a_model_has_figures_with_targets_and_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    bench = record.Bench("optimize")
    figures.add_model(bench, comparison())
    by_name = {figure.name: figure for figure in bench.figures}
    assert by_name["speed-up, batch 1, mnist"].value == 2.5
    assert by_name["size, mnist"].value == 0.25
    assert by_name["wall time, mnist"].ok
    assert bench.tables[0].title == f"mnist: {MODELS['mnist'].title}"
    assert [row[0] for row in bench.tables[0].rows] == ["original", CHOSEN.name, BY_HAND.name]
    assert [row[0] for row in bench.tables[1].rows] == ["static-int8", "fp16"]
    assert "does not run: why" in capsys.readouterr().out


def test_rounds_become_the_median_of_paired_ratios() -> None:
    rounds = [
        {"original": 2.0, "original, again": 2.0, "fast": 1.0, "sometimes": 1.0},
        {"original": 4.0, "original, again": 4.0, "fast": 1.0},
        {"original": 3.0, "original, again": 3.0, "fast": 1.0, "sometimes": 1.0},
    ]
    found = measure.summary(rounds)
    assert found.ratios == {"fast": 3.0}
    assert (found.seconds, found.noise) == (3.0, 0.0)


def test_an_executable_survives_the_way_to_a_child_and_counts_its_weights(tmp_path: Path) -> None:
    (tmp_path / "model.xml").write_bytes(b"12")
    (tmp_path / "model.bin").write_bytes(b"345")
    made = Executable(
        file=tmp_path / "model.xml", backend=OPENVINO, properties={"NUM_STREAMS": "1"}
    )
    assert Executable.from_json(json.loads(json.dumps(made.to_json()))) == made
    assert made.bytes == 5


def test_the_judge_is_the_projects_own_gate(tmp_path: Path) -> None:
    labels = np.arange(600) % 2
    right = np.eye(2, dtype=np.float32)[labels]
    wrong = right.copy()
    wrong[:60] = 1 - wrong[:60]
    evaluation = tmp_path / "evaluation.npz"
    np.savez(evaluation, x=np.zeros((600, 1)), labels=labels)
    made = judge.judge(Metric.ACCURACY, evaluation, ["scores"], [right])
    assert made.verdict([right]).passes
    failed = made.verdict([wrong])
    assert (failed.after, failed.passes) == (0.9, False)
    with pytest.raises(ValueError, match="has shape"):
        made.verdict([right[:10]])


def test_a_model_is_made_anew_when_its_own_module_or_a_shared_one_changes() -> None:
    names = {path.stem for path in environment.sources("ocr-text")}
    assert {"ocr_text", "text_pictures", "network", "__init__"} <= names
    assert not names & {"ocr_angle", "mnist"}


def test_inputs_are_split_from_labels(tmp_path: Path) -> None:
    evaluation, inputs, some = (tmp_path / f"{name}.npz" for name in ("e", "i", "s"))
    np.savez(evaluation, x=np.arange(20), labels=np.arange(20), charset=np.array(["a"]))
    judge.split_inputs(evaluation, inputs, some, 8)
    with np.load(inputs) as all_inputs, np.load(some) as first:
        assert all_inputs.files == first.files == ["x"]
        assert len(all_inputs["x"]) == 20
        assert len(first["x"]) == 8


def test_tables_are_shown_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(report, "PAGE", tmp_path / "page.md")
    bench = record.Bench("optimize")
    bench.add_table("mnist: digits", ["variant", "note"], [["a|b", ""], ["c", "why"]])
    bench.write()
    report.main()
    page = (tmp_path / "page.md").read_text()
    assert "### mnist: digits\n\n| variant | note |\n|---|---|\n| a\\|b |  |\n| c | why |" in page
    assert str(tmp_path) in capsys.readouterr().out
