"""Trains a network for digits with the image's own torch and saves it; runs inside the cluster.

    python trained.py

Beside it lies digits.py, the trainer. Prints one JSON object with files, base64 by name: the
trainer with the weights, an exported program, the same as ONNX, data to evaluate it, and torch's
answers to these samples.
"""

import base64
import importlib
import json
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from tightship.api.training import TrainingOptions
from tightship.optimize.training import loop
from tightship.optimize.training.subject import Subject

FOLDER = Path(__file__).parent
TRAINER, PROGRAM, ONNX = "trainer.tar.gz", "model.pt2", "model.onnx"
DATA, ANSWERS = "evaluation.npz", "answers.npz"
OPTIONS = TrainingOptions(epochs=8, learning_rate=2e-3, batch_size=32, threads=1)


def main() -> None:
    """Writes the files and prints them."""
    tempfile.tempdir = str(FOLDER)
    digits = importlib.import_module("digits")
    subject = Subject(digits.Digits(), OPTIONS)
    loop.seeded(OPTIONS)
    network = subject.build()
    loop.fit(network, subject)
    pack(network, digits.WEIGHTS.name)
    export(network, subject.examples)
    pixels, labels = (part[digits.VALIDATED :].numpy() for part in digits.pixels())
    np.savez(FOLDER / DATA, pixels=pixels, labels=labels)
    with torch.no_grad():
        np.savez(FOLDER / ANSWERS, scores=network(torch.from_numpy(pixels)).numpy())
    encoded = {
        name: base64.b64encode((FOLDER / name).read_bytes()).decode()
        for name in (TRAINER, PROGRAM, ONNX, DATA, ANSWERS)
    }
    sys.stdout.write(json.dumps(encoded))


def pack(network: nn.Module, weights: str) -> None:
    """The trainer and its weights, as a Job fetches them."""
    save_file(network.state_dict(), FOLDER / weights)
    with tarfile.open(FOLDER / TRAINER, "w:gz") as archive:
        for name in ("digits.py", weights):
            archive.add(FOLDER / name, name)


def export(network: nn.Module, examples: tuple[torch.Tensor, ...]) -> None:
    """As torch saves programs, and as ONNX; in both the batch is free."""
    shapes = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(network, examples, dynamic_shapes=shapes)
    torch.export.save(program, FOLDER / PROGRAM)
    torch.onnx.export(
        network, examples, str(FOLDER / ONNX), dynamo=True, external_data=False,
        input_names=["pixels"], output_names=["scores"], dynamic_shapes=shapes, verbose=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
