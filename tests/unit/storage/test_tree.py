"""Folders: nothing but plain files and folders passes."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from tightship.storage import StorageError, check_folder
from tightship.storage.errors import UNSAFE_FILE


def test_files_of_a_plain_tree_sorted(tmp_path: Path) -> None:
    (tmp_path / "model/1").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("model/config.pbtxt", "model/1/model.onnx", "a"):
        (tmp_path / name).write_text("x")
    assert check_folder(tmp_path) == ("a", "model/1/model.onnx", "model/config.pbtxt")


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))


HOSTILE: dict[str, Callable[[Path], object]] = {
    "link to a file": lambda path: path.symlink_to("/etc/passwd"),
    "link to a folder": lambda path: path.symlink_to("/etc"),
    "broken link": lambda path: path.symlink_to("nowhere"),
    "hard link": lambda path: path.hardlink_to(path.parent.parent / "plain"),
    "pipe": os.mkfifo,
    "socket": _socket,
}


@pytest.mark.parametrize("case", HOSTILE)
def test_everything_else_is_refused(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plain").write_text("x")
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)  # a socket's path is short
    HOSTILE[case](Path("sub/bad") if case == "socket" else tmp_path / "sub/bad")
    with pytest.raises(StorageError) as caught:
        check_folder(tmp_path)
    assert caught.value.reason == UNSAFE_FILE


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "bad\udcff"])
def test_names_that_are_not_plain_are_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("x")
    with pytest.raises(StorageError) as caught:
        check_folder(tmp_path)
    assert caught.value.reason == UNSAFE_FILE
    assert caught.value.message.isprintable()


def test_a_link_in_the_folder_s_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with pytest.raises(StorageError):
        check_folder(tmp_path / "link")
