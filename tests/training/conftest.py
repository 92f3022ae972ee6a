"""A trained network for digits with its trainer, ONNX file and data, made once a session."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file
from tests.training.trainers import digits

from tightship.api.training import TrainingOptions
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.training import export, loop, subject
from tightship.optimize.training.subject import Subject

TRAINERS = Path(__file__).parent / "trainers"
ENTRY = "digits.py:Digits"
OPTIONS = TrainingOptions(epochs=2, learning_rate=2e-3, batch_size=32, threads=1)
CONTRACT = Contract(
    inputs=(Tensor("pixels", "float32", (None, 1, 8, 8)),),
    outputs=(Tensor("scores", "float32", (None, 10)),),
    max_batch=32,
    opset=18,
    nodes=1,
    parameters=1,
    bytes=1,
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The exporter's own deprecations are none of this project's."""
    for item in items:
        item.add_marker(pytest.mark.filterwarnings("ignore::FutureWarning:copyreg"))
        item.add_marker(pytest.mark.filterwarnings("ignore::DeprecationWarning"))


@pytest.fixture(autouse=True)
def nothing_is_known_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever optimizes here begins with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@dataclass(frozen=True)
class Scene:
    """A folder with the trainer, its weights, the exported model and evaluation data."""

    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / "model.onnx"

    @property
    def evaluation(self) -> Path:
        return self.folder / "evaluation.npz"

    @property
    def calibration(self) -> Path:
        return self.folder / "calibration.npz"

    @property
    def trainer(self) -> str:
        return f"{self.folder}/{ENTRY}"

    def subject(self, options: TrainingOptions = OPTIONS) -> Subject:
        return subject.load(self.folder, ENTRY, options)


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    made = Scene(tmp_path_factory.mktemp("digits"))
    shutil.copy(TRAINERS / "digits.py", made.folder)
    begun = made.subject(TrainingOptions(epochs=8, learning_rate=2e-3, batch_size=32, threads=1))
    loop.seeded(begun.options)
    model = begun.build()
    loop.fit(model, begun)
    save_file(model.state_dict(), made.folder / digits.WEIGHTS.name)
    with pytest.warns(FutureWarning):
        export.export(model, made.subject(), CONTRACT, made.model)
    images, labels = digits.pixels()
    held = slice(digits.VALIDATED, None)
    np.savez(made.evaluation, pixels=images[held].numpy(), labels=labels[held].numpy())
    np.savez(made.calibration, pixels=images[:100].numpy())
    return made
