"""The model repository: models appear and change in one step, always newer than before."""

from pathlib import Path

import pytest

from tightship.triton.repository import Repository


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "artifact"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(b"model")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


def _newest(model: Path) -> int:
    return max(path.stat().st_mtime_ns for path in model.resolve().rglob("*"))


def test_a_published_model_is_complete(root: Path, files: Path) -> None:
    Repository(root).publish("m", "one", files=files, config="text", version=3)
    assert (root / "m" / "config.pbtxt").read_text() == "text"
    assert (root / "m" / "3" / "model.onnx").read_bytes() == b"model"
    assert Repository(root).published() == {"m": "one"}


def test_the_link_does_not_depend_on_where_the_volume_is_mounted(root: Path, files: Path) -> None:
    Repository(root).publish("m", "one", files=files, config="")
    elsewhere = root.rename(root.with_name("elsewhere"))
    assert (elsewhere / "m" / "1" / "model.onnx").read_bytes() == b"model"


def test_a_republished_older_build_is_newer_than_all_before(root: Path, files: Path) -> None:
    repository = Repository(root)
    times = []
    for identity in ("one", "two", "one", "one"):
        repository.publish("m", identity, files=files, config="")
        times.append(_newest(root / "m"))
    assert times == sorted(set(times))


def test_only_the_current_build_is_kept(root: Path, files: Path) -> None:
    repository = Repository(root)
    for identity in ("one", "two"):
        repository.publish("m", identity, files=files, config="")
    assert [path.name for path in (root / ".builds" / "m").iterdir()] == ["two"]


def test_a_failed_publication_leaves_the_old_model(root: Path, files: Path) -> None:
    repository = Repository(root)
    repository.publish("m", "one", files=files, config="old")
    with pytest.raises(OSError, match="missing"):
        repository.publish("m", "two", files=files / "missing", config="new")
    assert (root / "m" / "config.pbtxt").read_text() == "old"
    assert [path.name for path in (root / ".builds" / "m").iterdir()] == ["one"]


def test_a_withdrawn_model_leaves_nothing(root: Path, files: Path) -> None:
    repository = Repository(root)
    repository.publish("m", "one", files=files, config="")
    repository.publish("other", "one", files=files, config="")
    repository.withdraw("m")
    repository.withdraw("m")
    assert repository.published() == {"other": "one"}
    assert [path.name for path in (root / ".builds").iterdir()] == ["other"]


def test_the_artifact_is_not_touched_by_a_withdrawal(root: Path, files: Path) -> None:
    repository = Repository(root)
    repository.publish("m", "one", files=files, config="")
    repository.withdraw("m")
    assert (files / "model.onnx").read_bytes() == b"model"
