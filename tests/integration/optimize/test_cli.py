"""`tightship optimize` on a laptop: without a Triton, and with one."""

import json
import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data
from tests.corpus.models import build, data
from tests.support import report_schema
from tests.support.cache import REPOSITORY
from tests.support.triton import Triton

from tightship.optimize import cache, cli, runtime


@pytest.fixture
def model(tmp_path: Path) -> Path:
    file = tmp_path / "model.onnx"
    file.write_bytes(build.perceptron().SerializeToString())
    return file


def test_without_triton_the_report_says_so(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibration = tmp_path / "calibration.npz"
    calibration.write_bytes(data.npz(x=data.INPUT))
    output = tmp_path / "out"

    code = cli.main([str(model), "--calibration", str(calibration), "--output", str(output)])

    shown = capsys.readouterr().out
    report = json.loads((output / "report.json").read_text())
    assert code == 0
    assert shown.splitlines()[0].split()[:2] == ["candidate", "status"]
    assert all(c["id"] in shown for c in report["candidates"])
    assert report["selection"]["proven"] is False
    assert any("not proven in Triton" in warning for warning in report["warnings"])
    assert (output / "model" / "1" / "model.onnx").exists()
    assert not (output / "manifest.json").exists()


@pytest.mark.parametrize("place", ["model.onnx_data", "w1", "weights/all.bin"])
def test_external_data_come_with_the_file_that_names_them(place: str, tmp_path: Path) -> None:
    model = build.perceptron()
    content = model.SerializeToString()
    convert_model_to_external_data(model, location=place, size_threshold=0)
    (tmp_path / place).parent.mkdir(exist_ok=True)
    onnx.save(model, str(tmp_path / "model.onnx"))
    (tmp_path / "model.bin").write_bytes(b"another model's")
    output = tmp_path / "out"

    assert cli.main([str(tmp_path / "model.onnx"), "--output", str(output)]) == 0

    (tmp_path / "inline.onnx").write_bytes(content)
    files = tmp_path / "inline.onnx", output / "model" / "1" / "model.onnx"
    asked = {"x": data.INPUT}
    expected, answered = (runtime.session(file, 1).run(None, asked)[0] for file in files)
    assert np.array_equal(expected, answered)


@pytest.mark.parametrize(("strategy", "word"), [("grid", "Grid"), ("tpe", "TPE")])
def test_a_search_goes_on_from_the_curated_list(
    strategy: str, word: str, model: Path, tmp_path: Path
) -> None:
    rows = np.random.default_rng(3).standard_normal((400, 8)).astype(np.float32)
    (tmp_path / "calibration.npz").write_bytes(data.npz(x=rows))
    files = ["--calibration", str(tmp_path / "calibration.npz"), "--output", str(tmp_path / "out")]
    families = ["--no-openvino", "--no-prune", "--no-half-precision", "--max-drop", "0.2"]
    search = ["--search", strategy, "--trials", "3"]

    assert cli.main([str(model), *files, *families, *search]) == 0

    report = json.loads((tmp_path / "out" / "report.json").read_text())
    report_schema.validate(report)
    trials = [c for c in report["candidates"] if "." in c["id"]]
    found = report["search"]
    assert (found["strategy"], found["trials"], found["ended"]) == (word, 3, "trials")
    assert len({json.dumps(c["passes"]) for c in trials}) == len(trials) == 3
    assert all(c["reason"] or c["status"] == "chosen" for c in trials)
    assert report["selection"]["paretoIds"]
    assert " ".join(search) in " ".join(report["reproduce"]["command"])


OWN = """
import numpy as np

def near(outputs, labels):
    return np.abs(outputs["y"] - labels).max(axis=1)

near.larger_is_better, near.unit = False, "largest error"
"""


def test_a_metric_of_ones_own_decides(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = np.random.default_rng(3).standard_normal((200, 8)).astype(np.float32)
    answers = runtime.session(model, 1).run(None, {"x": rows})[0]
    (tmp_path / "evaluation.npz").write_bytes(data.npz(x=rows, labels=answers + 0.01))
    (tmp_path / "mine.py").write_text(OWN)
    metric = ["--metric", f"{tmp_path / 'mine.py'}:near", "--max-drop", "0.5"]
    families = ["--no-openvino", "--no-prune", "--no-half-precision", "--no-quantize"]
    files = ["--evaluation", str(tmp_path / "evaluation.npz"), "--output", str(tmp_path / "out")]

    assert cli.main([str(model), *files, *metric, *families]) == 0

    report = json.loads((tmp_path / "out" / "report.json").read_text())
    report_schema.validate(report)
    gate = report["gate"]
    assert (gate["metric"], gate["unit"]) == ("mine.py:near", "largest error")
    assert gate["direction"] == "lower is better"
    assert report["baseline"]["metric"] == pytest.approx(0.01, abs=1e-4)
    assert "mine.py:near" in capsys.readouterr().out.splitlines()[0]
    assert "mine.py:near" in report["reproduce"]["command"]

    (tmp_path / "mine.py").write_text("def near(outputs, labels):\n    return labels\n")
    assert cli.main([str(model), *files, *metric, *families]) == 1
    told = capsys.readouterr().err.splitlines()[-1]
    assert told.startswith("InvalidMetric: The metric mine.py:near gives an array of shape")


def test_with_triton_a_whole_artifact_is_written(
    model: Path, tmp_path: Path, triton: Triton, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "out"
    place = ["--triton", triton.http, "--triton-metrics", triton.metrics]
    where = ["--models", str(triton.repository), "--output", str(output), "--json"]

    assert cli.main([str(model), *place, *where]) == 0

    shown = capsys.readouterr()
    assert json.loads(shown.out) == json.loads((output / "report.json").read_text())
    assert json.loads(shown.out)["selection"]["proven"] is True
    assert "prove in Triton ..." in shown.err.splitlines()
    assert {p.name for p in output.iterdir()} == {
        "golden.npz",
        "manifest.json",
        "model",
        "profile.json",
        "report.html",
        "report.json",
    }


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_who_cancels_is_left_with_nothing(
    ending: signal.Signals, model: Path, tmp_path: Path
) -> None:
    calibration, scratch = tmp_path / "calibration.npz", tmp_path / "scratch"
    calibration.write_bytes(data.npz(x=data.INPUT))
    scratch.mkdir()
    output = tmp_path / "out"
    command = [sys.executable, "-m", "tightship", "optimize", str(model)]
    work = subprocess.Popen(
        [*command, "--calibration", str(calibration), "--output", str(output)],
        env={**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": str(REPOSITORY / "operator")},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert work.stderr is not None
    with work, work.stderr as shown:
        while "baseline" not in shown.readline():
            assert work.poll() is None
        work.send_signal(ending)
        said = shown.read()
    assert work.returncode == 130
    rest = f"The same command goes on from what {cache.default_folder()} has."
    assert said.splitlines()[-1] == f"Cancelled: there is nothing in {output}. {rest}"
    assert not output.exists()
    assert not list(scratch.iterdir())
    assert all(ends(process) for process in working_below(scratch))


def ends(process: int) -> bool:
    """Whether a process is gone, or goes within seconds."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    ended, _, _ = select.select([handle], [], [], 10)
    os.close(handle)
    return bool(ended)


def working_below(folder: Path) -> list[int]:
    """Processes whose working directory is in a folder, removed or not."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if (process / "cwd").readlink().is_relative_to(folder):
                found.append(int(process.name))
    return found


def test_a_refusal_is_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.write_bytes(b"\x80\x04pickle")
    assert cli.main([str(model), "--output", str(tmp_path / "out")]) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("UnsafeModel: ")


def test_a_folder_with_other_files_is_not_emptied(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        cli.main([str(model), "--output", str(tmp_path)])
    assert model.exists()


def test_a_folder_instead_of_a_file_is_named(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = [str(model), "--calibration", str(tmp_path), "--output", str(tmp_path / "out")]
    assert cli.main(command) == 1
    assert f"{tmp_path} cannot be used: Is a directory." in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(tmp_path / "no.onnx"), "--output", str(tmp_path / "out")]) == 1
    assert "no.onnx does not exist" in capsys.readouterr().err
