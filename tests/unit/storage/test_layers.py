"""Packed layers of an artifact become one folder of the model's files."""

import gzip
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tightship.storage import ArchiveLimits, StorageError, assemble, has_layers
from tightship.storage.errors import (
    ARCHIVE_BROKEN,
    ARCHIVE_TOO_LARGE,
    ARCHIVE_UNSAFE,
    NO_SPACE_LEFT,
)
from tightship.storage.layers import FOLDERS, IMAGE, LAYERS

Members = Mapping[str, bytes]


def packed(members: Members) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            if content == b"->":
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
                archive.addfile(member)
                continue
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(out.getvalue(), mtime=0)


def download(folder: Path, layers: list[tuple[str, Members]], plain: Members) -> Path:
    (folder / LAYERS).mkdir(parents=True)
    for number, (kind, members) in enumerate(layers):
        (folder / LAYERS / f"{number:04d}{kind}").write_bytes(packed(members))
    for name, content in plain.items():
        (folder / name).write_bytes(content)
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


CASES: dict[str, tuple[list[tuple[str, Members]], Members, Members]] = {
    "an image of scratch": ([(IMAGE, {"m.onnx": b"m"})], {}, {"m.onnx": b"m"}),
    "only models": (
        [(IMAGE, {"./models/1/m.onnx": b"m", "bin/sh": b"->", "README": b"r"})],
        {},
        {"1/m.onnx": b"m"},
    ),
    "later layers win": (
        [(IMAGE, {"a": b"1", "b": b"1"}), (IMAGE, {"a": b"2"})],
        {},
        {"a": b"2", "b": b"1"},
    ),
    "a file is whited out": (
        [(IMAGE, {"a": b"1", "b": b"1"}), (IMAGE, {".wh.a": b""})],
        {},
        {"b": b"1"},
    ),
    "a folder is whited out": (
        [(IMAGE, {"d/a": b"1", "b": b"1"}), (IMAGE, {".wh.d": b"", "d2/x": b"x"})],
        {},
        {"b": b"1", "d2/x": b"x"},
    ),
    "everything is whited out": (
        [(IMAGE, {"d/a": b"1"}), (IMAGE, {".wh..wh..opq": b"", "n": b"2"})],
        {},
        {"n": b"2"},
    ),
    "a layer outside the models": (
        [(IMAGE, {"models/m": b"1"}), (IMAGE, {".wh.models": b"", "etc/x": b"x"})],
        {},
        {"m": b"1"},
    ),
    "whiteouts that lead out": (
        [(IMAGE, {"m": b"1"}), (IMAGE, {".wh...": b"", "x/.wh..": b"", ".wh.": b"", "n": b"1"})],
        {},
        {"m": b"1", "n": b"1"},
    ),
    "folders and files": (
        [(FOLDERS, {"models/m.data": b"d"})],
        {"m.onnx": b"m"},
        {"models/m.data": b"d", "m.onnx": b"m"},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_layers_become_one_folder(tmp_path: Path, case: str) -> None:
    layers, plain, expected = CASES[case]
    folder = download(tmp_path / "in", layers, plain)
    before = files(folder)
    assert has_layers(folder)
    assemble(folder, tmp_path / "out", ArchiveLimits())
    assert files(tmp_path / "out") == expected
    assert files(folder) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out"]


REFUSED: dict[str, tuple[list[tuple[str, Members]], str]] = {
    "a link": ([(IMAGE, {"models/m": b"->"})], ARCHIVE_UNSAFE),
    "a link in a folder": ([(FOLDERS, {"m": b"->"})], ARCHIVE_UNSAFE),
    "a path that climbs": ([(IMAGE, {"models/../../m": b"x"})], ARCHIVE_UNSAFE),
    "an absolute path": ([(FOLDERS, {"/m": b"x"})], ARCHIVE_UNSAFE),
    "a file in a folder's place": (
        [(IMAGE, {"d/a": b"1"}), (IMAGE, {"d": b"1"})],
        ARCHIVE_UNSAFE,
    ),
    "a folder in a file's place": (
        [(IMAGE, {"d": b"1"}), (IMAGE, {"d/a": b"1"})],
        ARCHIVE_UNSAFE,
    ),
    "nothing is left": ([(IMAGE, {"a": b"1"}), (IMAGE, {".wh.a": b""})], ARCHIVE_BROKEN),
    "a bomb": ([(IMAGE, {"a": bytes(8 << 20)})], ARCHIVE_TOO_LARGE),
}


@pytest.mark.parametrize("case", REFUSED)
def test_layers_that_are_refused(tmp_path: Path, case: str) -> None:
    layers, reason = REFUSED[case]
    folder = download(tmp_path / "in", layers, {})
    with pytest.raises(StorageError) as caught:
        assemble(folder, tmp_path / "out", ArchiveLimits())
    assert caught.value.reason == reason


def test_caps_are_those_of_all_layers_together(tmp_path: Path) -> None:
    layers: list[tuple[str, Members]] = [(IMAGE, {str(n): bytes(1000)}) for n in range(5)]
    folder = download(tmp_path / "in", layers, {})
    for limits, reason in (
        (ArchiveLimits(max_bytes=4500), ARCHIVE_TOO_LARGE),
        (ArchiveLimits(room=4500), NO_SPACE_LEFT),
    ):
        with pytest.raises(StorageError) as caught:
            assemble(folder, tmp_path / reason, limits)
        assert caught.value.reason == reason
    assemble(folder, tmp_path / "out", ArchiveLimits(max_bytes=5000, room=5000))
    assert len(files(tmp_path / "out")) == 5


def test_a_layer_that_is_no_tar(tmp_path: Path) -> None:
    folder = download(tmp_path / "in", [], {})
    (folder / LAYERS / f"0000{IMAGE}").write_bytes(b"PK\x03\x04 a zip is no layer")
    with pytest.raises(StorageError) as caught:
        assemble(folder, tmp_path / "out", ArchiveLimits())
    assert caught.value.reason == ARCHIVE_BROKEN
