"""Where a repository of the Hugging Face Hub has its ONNX model."""

from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Final

from tightship.storage.errors import UNSUPPORTED_ARTIFACT, StorageError

CONFIG: Final = "config.json"
MODELS: Final = ("onnx/model.onnx", "model.onnx")
"""In this order: exporters put the model beside its other formats, or into a folder of its own."""

_SHOWN = 5


def model_of(names: Collection[str]) -> str | None:
    """The model of a folder in the Hub's layout: config.json, and one of MODELS."""
    if CONFIG not in names:
        return None
    return next((model for model in MODELS if model in names), None)


def model_files(names: Collection[str], subject: str) -> list[str]:
    """The model of a repository with its external data and config.json, sorted.

    External data are the files beside the model whose names begin with the model's.

    Raises:
        StorageError: UnsupportedArtifact when there is no model in the usual place.
    """
    model = next((model for model in MODELS if model in names), None)
    if model is None:
        others = sorted(name for name in names if PurePosixPath(name).suffix == ".onnx")
        found = (
            f"It has {', '.join(others[:_SHOWN])}: name one of them"
            if others
            else ("Export it (`optimum-cli export onnx`)")
        )
        raise StorageError(
            UNSUPPORTED_ARTIFACT,
            f"{subject} has neither onnx/model.onnx nor model.onnx. {found}, or name a folder.",
        )
    folder = PurePosixPath(model).parent
    return sorted(
        name
        for name in names
        if name == CONFIG or (name.startswith(model) and PurePosixPath(name).parent == folder)
    )
