"""The examples' files, made once and kept in the cache, and what their resources say."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from tests.support import cache

FOLDER = cache.REPOSITORY / "examples"
NAMES = ("digits", "magika", "minilm")
_LOCK = FOLDER / "requirements.txt"


def files() -> Path:
    """A folder with NAME/{model.onnx,calibration.npz,evaluation.npz} for each example."""
    sources = [FOLDER / "prepare.py", FOLDER / "models", _LOCK]
    return cache.made(f"examples-{cache.digest(*sources)}", _prepare)


def _prepare(folder: Path) -> None:
    python = cache.made(f"examples-python-{cache.digest(_LOCK)}", _install) / "bin" / "python"
    subprocess.run(
        [python, "-W", "ignore", "-m", "examples.prepare", folder], cwd=cache.REPOSITORY, check=True
    )


def _install(folder: Path) -> None:
    """A virtual environment, relocatable because the cache moves it into place."""
    uv = [sys.executable, "-m", "uv"]
    subprocess.run([*uv, "venv", "--quiet", "--relocatable", folder], check=True)
    packages = ["--no-deps", "--require-hashes", "-r", str(_LOCK)]
    subprocess.run([*uv, "pip", "install", "--quiet", "--python", folder, *packages], check=True)


def surest(name: str, count: int) -> dict[str, NDArray[Any]]:
    """The samples that the original is surest of, so that every variant inside the gate agrees."""
    folder = files() / name
    arrays = dict(np.load(folder / "evaluation.npz", allow_pickle=False))
    labels = arrays.pop("labels")
    scores = InferenceSession(folder / "model.onnx").run(None, arrays)[0]
    best = np.argsort(-scores[np.arange(len(labels)), labels])[:count]
    return {**{key: array[best] for key, array in arrays.items()}, "expected": labels[best]}


def resources(*names: str) -> Iterator[dict[str, Any]]:
    """The documents of examples/NAME.yaml."""
    for name in names:
        for document in yaml.safe_load_all((FOLDER / f"{name}.yaml").read_text()):
            yield dict(document)
