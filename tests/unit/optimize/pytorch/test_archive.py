"""What a file of torch is told to be, without torch."""

import pickle
import zipfile
from pathlib import Path

import pytest

from tightship.optimize.failures import RefusalError
from tightship.optimize.pytorch import archive
from tightship.optimize.pytorch.archive import Kind

KINDS = {
    "script": (("m/data.pkl", "m/code/__torch__.py", "m/constants.pkl"), Kind.SCRIPT),
    "program": (("m/archive_format", "m/models/model.json", "m/data/weights/w"), Kind.PROGRAM),
    "program before 2.8": (("version", "serialized_exported_program.json"), Kind.PROGRAM),
}
REFUSED = {
    "weights": (("m/data.pkl", "m/data/0", "m/version"), "UnsupportedModel", "torch.export.save"),
    "two programs": (
        ("m/archive_format", "m/models/a.json", "m/models/b.json"),
        "UnsupportedModel",
        "2 exported programs",
    ),
    "compiled": (
        ("m/archive_format", "m/data/aotinductor/model/x.so"),
        "UnsupportedModel",
        "AOTInductor",
    ),
    "another archive": (("a.txt",), "InvalidModel", "torch did not write"),
    "no member": ((), "InvalidModel", "torch did not write"),
}


def zipped(file: Path, names: tuple[str, ...]) -> Path:
    with zipfile.ZipFile(file, "w") as made:
        for name in names:
            made.writestr(name, b"x")
    return file


@pytest.mark.parametrize("name", KINDS)
def test_kinds(name: str, tmp_path: Path) -> None:
    names, kind = KINDS[name]
    assert archive.kind(zipped(tmp_path / "m.pt", names)) is kind


@pytest.mark.parametrize("name", REFUSED)
def test_other_archives(name: str, tmp_path: Path) -> None:
    names, reason, words = REFUSED[name]
    with pytest.raises(RefusalError, match=words) as caught:
        archive.kind(zipped(tmp_path / "m.pt", names))
    assert caught.value.reason.value == reason


@pytest.mark.parametrize(
    ("content", "reason", "words"),
    [
        (b"", "InvalidModel", "is empty"),
        (b"noise" * 100, "InvalidModel", "no whole archive"),
        (pickle.dumps({"weight": 1}, protocol=2), "UnsupportedModel", "code of the model"),
    ],
)
def test_what_is_no_archive(content: bytes, reason: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "m.pt").write_bytes(content)
    with pytest.raises(RefusalError, match=words) as caught:
        archive.kind(tmp_path / "m.pt")
    assert caught.value.reason.value == reason


@pytest.mark.parametrize("at", [0.1, 0.5, 0.9, 0.99])
def test_a_file_that_broke_off(at: float, tmp_path: Path) -> None:
    file = zipped(tmp_path / "m.pt", KINDS["script"][0])
    whole = file.read_bytes()
    file.write_bytes(whole[: int(len(whole) * at)])
    with pytest.raises(RefusalError, match="upload it again") as caught:
        archive.kind(file)
    assert caught.value.reason.value == "InvalidModel"
