"""Computes a served model's metric over a labelled file; runs inside the cluster.

    python predict.py http|grpc HOST:PORT MODEL EVALUATION.npz METRIC

Prints one JSON object: the metric's value, its standard error, and the number of samples. The
metrics are written again here, so that the report is checked by something else than its author.
"""

import importlib
import json
import sys
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BATCH = 8

Scores = NDArray[np.float64]


def answers(
    protocol: str, address: str, model: str, arrays: dict[str, NDArray[np.generic]]
) -> Iterator[Scores]:
    """The model's first output for each batch of samples."""
    triton = importlib.import_module(f"tritonclient.{protocol}")
    client = triton.InferenceServerClient(address)
    output = _first(
        client.get_model_metadata(model).outputs
        if protocol == "grpc"
        else client.get_model_metadata(model)["outputs"]
    )
    for start in range(0, len(next(iter(arrays.values()))), BATCH):
        inputs = []
        for name, array in arrays.items():
            part = array[start : start + BATCH]
            given = triton.InferInput(name, part.shape, triton.np_to_triton_dtype(part.dtype))
            given.set_data_from_numpy(part)
            inputs.append(given)
        yield client.infer(model, inputs).as_numpy(output)
    client.close()


def accuracy(outputs: Scores, labels: NDArray[np.int64]) -> Scores:
    """1 for each sample whose highest score is its label's, 0 for the others."""
    return np.asarray(outputs.argmax(axis=1) == labels, np.float64)


def mrr(outputs: Scores, labels: NDArray[np.int64]) -> Scores:
    """1 / rank of the right answer among all answers, for each question."""
    questions, candidates = np.flatnonzero(labels >= 0), np.flatnonzero(labels < 0)
    units = outputs / np.linalg.norm(outputs, axis=1, keepdims=True)
    scores = units[questions] @ units[candidates].T
    right = np.searchsorted(candidates, labels[questions])
    own = scores[np.arange(len(questions)), right][:, None]
    return np.asarray(1.0 / (1 + (scores > own).sum(axis=1)), np.float64)


def _first(outputs: list[object]) -> str:
    output = outputs[0]
    return str(output["name"]) if isinstance(output, dict) else str(output.name)  # type: ignore[attr-defined]


def main(protocol: str, address: str, model: str, data: str, metric: str) -> None:
    """Prints the metric as JSON."""
    arrays = dict(np.load(data, allow_pickle=False))
    labels = arrays.pop("labels")
    outputs = np.concatenate(list(answers(protocol, address, model, arrays)))
    values = {"accuracy": accuracy, "mrr": mrr}[metric](outputs, labels)
    error = float(values.std(ddof=1) / np.sqrt(len(values)))
    result = {"value": float(values.mean()), "error": error, "samples": len(values)}
    sys.stdout.write(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
