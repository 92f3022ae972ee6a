"""A torch source in a Job: what is refused before torch is needed."""

import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.optimize.harness import REQUEST

from tightship.api.v1alpha1 import CODE_FORMATS, ModelFormat
from tightship.optimize import confine, intake
from tightship.optimize.budget import Budget
from tightship.optimize.failures import RefusalError
from tightship.optimize.folders import Folders
from tightship.optimize.pytorch import source

SCRIPT = ("m/data.pkl", "m/code/__torch__.py", "m/constants.pkl")


def refused(folder: Path, files: tuple[str, ...], *, trusted_code: bool = False) -> RefusalError:
    folders = Folders(folder)
    folders.source.mkdir(parents=True)
    for file in files:
        with zipfile.ZipFile(folders.source / file, "w") as made:
            for name in SCRIPT:
                made.writestr(name, b"x")
    request = replace(REQUEST, source_format="torch", trusted_code=trusted_code)
    with pytest.raises(RefusalError) as caught:
        intake.take(request, folders, Budget())
    return caught.value


SOURCES = {
    "nothing": ((), "InvalidModel", "no .pt, .pt2, .pth, .torchscript or .ts file"),
    "another file": (("model.zip.txt",), "InvalidModel", "for an ONNX file use onnx"),
    "two": (("a.pt", "b.pt2"), "UnsupportedModel", "2 torch models (a.pt, b.pt2)"),
}


@pytest.mark.parametrize("name", SOURCES)
def test_sources_without_one_model(name: str, tmp_path: Path) -> None:
    files, reason, words = SOURCES[name]
    found = refused(tmp_path, files, trusted_code=True)
    assert found.reason.value == reason
    assert words in found.message


def test_a_model_of_torch_is_code(tmp_path: Path) -> None:
    assert ModelFormat.TORCH in CODE_FORMATS
    found = refused(tmp_path, ("model.pt",))
    assert found.reason.value == "UnsafeModel"
    assert "spec.trustedCode" in found.message


def test_without_landlock_it_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confine, "abi", lambda: 0)
    found = refused(tmp_path, ("model.pt",), trusted_code=True)
    assert found.reason.value == "UnsafeModel"
    assert "Landlock" in found.message


def test_a_converter_without_torch_names_the_image(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confine, "abi", lambda: 1)
    monkeypatch.setattr(source, "_NEEDED", ("no_such_torch",))
    found = refused(tmp_path, ("model.pt",), trusted_code=True)
    assert found.reason.value == "UnsupportedModel"
    assert "converter-torch" in found.message
    assert "pip install tightship[torch]" in found.message
