"""Evaluation data from the file to checked labels: bad ones are refused, sound ones chosen from."""

from pathlib import Path

import numpy as np
import pytest
from tests.corpus.models import data as corpus

from tightship.optimize import arguments, cli, data, intake
from tightship.optimize.budget import Budget
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.data import Dataset
from tightship.optimize.failures import RefusalError

CONTRACT = Contract(
    inputs=(Tensor("x", "float32", (None, 8)),),
    outputs=(Tensor("y", "float32", (None, 4)),),
    max_batch=8,
    opset=17,
    nodes=1,
    parameters=1,
    bytes=1,
)


def taken(file: Path, *options: str) -> Dataset:
    request = arguments.request(
        arguments.parser().parse_args(
            ["model.onnx", "--output", "out", "--evaluation", str(file), *options]
        )
    )
    arrays = data.read(file, "evaluation", Budget())
    assert request.evaluation is not None
    matched = data.match(CONTRACT, arrays, "evaluation")
    return intake.labelled(matched, request.evaluation, request)


@pytest.mark.parametrize("case", corpus.CASES, ids=lambda case: case.name)
def test_bad_data_are_refused_with_cause_and_remedy(case: corpus.Case, tmp_path: Path) -> None:
    file = tmp_path / "evaluation.npz"
    file.write_bytes(case.content())
    with pytest.raises(RefusalError, match="evaluation data") as refused:
        taken(file, "--metric", case.metric)
    assert case.hint in refused.value.message


SOUND: dict[str, np.ndarray] = {
    "accuracy": corpus.LABELS,
    "f1": corpus.LABELS,
    "auc": corpus.LABELS,
    "mrr": np.array([*range(20, 40), *[-1] * 20]),
    "cer": np.array(["ab"] * 40),
    "wer": np.array([b"a b"] * 40),
    "mae": corpus.INPUT[:, 0],
    "rmse": corpus.INPUT[:, :2],
    "cosine": corpus.INPUT,
}


@pytest.mark.parametrize("metric", SOUND)
def test_sound_labels_are_chosen_from(metric: str, tmp_path: Path) -> None:
    file = tmp_path / "evaluation.npz"
    file.write_bytes(corpus.npz(x=corpus.INPUT, labels=SOUND[metric]))
    found = taken(file, "--metric", metric, "--max-samples", "30")
    assert found.labels is not None
    assert len(found) == len(found.labels) == 30


SENSELESS = {
    "classes of numbers": ["--metric", "mae", "--max-class-drop", "0.1"],
    "floor of classes of numbers": ["--metric", "mae", "--worst-class-value", "0.1"],
    "positive class of accuracy": ["--metric", "accuracy", "--positive-class", "1"],
}


@pytest.mark.parametrize("name", SENSELESS)
def test_senseless_options_are_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(tmp_path / "evaluation.npz")
    command = ["m.onnx", "--output", str(tmp_path), "--evaluation", file, *SENSELESS[name]]
    with pytest.raises(SystemExit):
        cli.main(command)
    assert "--metric" in capsys.readouterr().err


OUT_OF_RANGE = {
    "no number": (["--max-drop", "nan"], "--max-drop is nan"),
    "drop below 0": (["--max-drop=-1"], "between 0 and 999"),
    "sure": (["--confidence", "1"], "between 0.5 and 0.999"),
    "no speed": (["--min-speedup", "nan"], "--min-speedup"),
    "all zeros": (["--sparsity", "3"], "between 0.05 and 0.95"),
    "no threads": (["--threads", "0"], "--threads is 0"),
    "no samples": (["--max-samples", "0"], "--max-samples is 0"),
    "no calibration": (["--max-calibration-samples", "0"], "--max-calibration-samples"),
    "no latency": (["--slo-ms", "0"], "--slo-ms"),
    "no trials": (["--trials", "0"], "--trials"),
    "no time": (["--search-seconds", "0"], "--search-seconds"),
    "cache below 0": (["--cache-size=-1"], "--cache-size is -1"),
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_numbers_out_of_range_are_refused(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options, words = OUT_OF_RANGE[name]
    with pytest.raises(SystemExit):
        cli.main(["m.onnx", "--output", str(tmp_path / "out"), *options])
    assert words in capsys.readouterr().err
