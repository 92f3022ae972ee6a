"""The report's command asks for the same work as the request that it was made from."""

from dataclasses import replace

import pytest
from hypothesis import given, strategies

from tightship.api.job import JobRequest
from tightship.optimize import arguments, reproduce


def asked(*options: str) -> JobRequest:
    return arguments.request(arguments.parser().parse_args(["m.onnx", "--output", "o", *options]))


def again(request: JobRequest) -> JobRequest:
    """The request of the command, with what is not part of the work as it was."""
    program, action, *options = reproduce.command(request)
    assert (program, action) == ("tightship", "optimize")
    found = arguments.request(arguments.parser().parse_args(options))
    return replace(
        found,
        source_uri=request.source_uri,
        evaluation=request.evaluation and replace(found.evaluation, uri=request.evaluation.uri),  # type: ignore[type-var]
        calibration=request.calibration and replace(found.calibration, uri=request.calibration.uri),  # type: ignore[type-var]
        own_metric=request.own_metric and replace(found.own_metric, uri=request.own_metric.uri),  # type: ignore[type-var]
        trainer=request.trainer and replace(found.trainer, uri=request.trainer.uri),  # type: ignore[type-var]
    )


CASES = {
    "defaults": [],
    "data": ["--evaluation", "e.npz", "--calibration", "c.npz", "--max-samples", "77"],
    "gates": [
        *("--evaluation", "e.npz", "--metric", "f1", "--positive-class", "3"),
        *("--worst-value", "-0.5", "--max-class-drop", "0.05", "--worst-class-value", "0.75"),
        *("--confidence", "0.99"),
    ],
    "own metric": ["--evaluation", "e.npz", "--metric", "some/where/mine.py:near"],
    "own metric of a module": [
        *("--evaluation", "e.npz", "--metric", "some/where/mine.far:near"),
        *("--metric-better", "smaller"),
    ],
    "objective": ["--slo-ms", "50", "--slo-percentile", "95", "--min-speedup", "2"],
    "techniques": ["--no-quantize", "--no-half-precision", "--no-prune", "--sparsity", "0.7"],
    "trainer": ["--trainer", "some/where/digits.py:Digits"],
    "trainer of a module": ["--trainer", "some/where/nets.digits:Digits"],
    "training": [
        *("--trainer", "digits.py:Digits", "--train-techniques", "depth,zeros"),
        *("--train-epochs", "7", "--train-precision", "bf16", "--train-learning-rate", "1e-7"),
        *("--train-batch-size", "9", "--train-threads", "2", "--train-schedule", "one-cycle"),
    ],
    "search": ["--search", "tpe", "--trials", "7", "--search-seconds", "12.5"],
    "search by chance": ["--search", "random"],
    "runtime": [
        "--threads",
        "4",
        "--accelerator",
        "nvidia.com/gpu",
        "--format",
        "triton",
        "--max-calibration-samples",
        "9",
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_the_command_asks_for_the_same_work(name: str) -> None:
    request = asked(*CASES[name])
    assert again(request) == request


@given(
    drop=strategies.floats(min_value=-1, max_value=1e6),
    sparsity=strategies.floats(min_value=0, max_value=1),
)
def test_no_digit_is_lost(drop: float, sparsity: float) -> None:
    request = replace(asked(), max_drop=drop, prune_sparsity=sparsity)
    assert again(request) == request


def test_addresses_stay_private() -> None:
    request = replace(asked("--evaluation", "e.npz"), source_uri="https://host/m?signature=secret")
    assert "secret" not in " ".join(reproduce.command(request))
