"""Unpacking: plain archives come out as they went in, hostile ones are refused by name."""

import gzip
import io
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tightship.storage import (
    ArchiveLimits,
    Format,
    StorageError,
    archive_format,
    check_folder,
    unpack,
)
from tightship.storage.errors import (
    ARCHIVE_BROKEN,
    ARCHIVE_TOO_LARGE,
    ARCHIVE_UNSAFE,
    NO_SPACE_LEFT,
)

CONTENT = {
    "model/config.pbtxt": b"name: 'x'",
    "model/1/model.onnx": bytes(range(256)) * 40,
    "e": b"",
}
MIB = 1 << 20


def make_zip(files: dict[str, bytes], **info: int) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            member = zipfile.ZipInfo(name)
            member.compress_type = zipfile.ZIP_DEFLATED
            member.external_attr = info.get("mode", 0) << 16
            archive.writestr(member, content)
    return out.getvalue()


def make_tar(files: dict[str, bytes], **attributes: object) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for key, value in attributes.items():
                setattr(member, key, value)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def make_tgz(files: dict[str, bytes], **attributes: object) -> bytes:
    return gzip.compress(make_tar(files, **attributes))


MAKERS: dict[Format, Callable[[dict[str, bytes]], bytes]] = {
    Format.ZIP: make_zip,
    Format.TAR: make_tar,
    Format.TAR_GZ: make_tgz,
}


@pytest.mark.parametrize("form", MAKERS)
def test_a_plain_archive_comes_out_as_it_went_in(form: Format, tmp_path: Path) -> None:
    path = tmp_path / "misleading.name"
    path.write_bytes(MAKERS[form](CONTENT))
    assert archive_format(path) is form
    files = unpack(path, tmp_path / "out")
    assert [file.path for file in files] == sorted(CONTENT)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in CONTENT} == CONTENT
    assert check_folder(tmp_path / "out") == tuple(sorted(CONTENT))


@settings(max_examples=40)
@given(
    files=st.dictionaries(
        st.from_regex(r"\A[a-z]{1,3}(/[a-z0-9.]{1,5}x){0,3}\Z"), st.binary(max_size=300), min_size=1
    ),
    form=st.sampled_from(sorted(MAKERS)),
)
def test_any_set_of_files(
    files: dict[str, bytes], form: Format, tmp_path_factory: pytest.TempPathFactory
) -> None:
    scratch = tmp_path_factory.mktemp("any")
    (scratch / "archive").write_bytes(MAKERS[form](files))
    clash = any(name.startswith(f"{other}/") for name in files for other in files)
    if clash:
        with pytest.raises(StorageError):
            unpack(scratch / "archive", scratch / "out")
        return
    unpack(scratch / "archive", scratch / "out")
    assert {
        name: (scratch / "out" / name).read_bytes() for name in check_folder(scratch / "out")
    } == files


@settings(max_examples=150)
@given(form=st.sampled_from(sorted(MAKERS)), at=st.integers(0, 10**6), value=st.integers(0, 255))
def test_a_damaged_archive_is_refused_or_harmless(
    form: Format, at: int, value: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    scratch = tmp_path_factory.mktemp("damaged")
    content = bytearray(MAKERS[form](CONTENT))
    content[at % len(content)] = value
    (scratch / "archive").write_bytes(content)
    try:
        unpack(scratch / "archive", scratch / "out")
    except StorageError as error:
        assert error.reason in {ARCHIVE_BROKEN, ARCHIVE_UNSAFE, ARCHIVE_TOO_LARGE}  # noqa: PT017
    if (scratch / "out").exists():
        check_folder(scratch / "out")
    assert sorted(path.name for path in scratch.iterdir()) in (["archive"], ["archive", "out"])


def _zip_twice() -> bytes:
    return make_zip({"a": b"1", "b": b"2"}).replace(b"b", b"a")


def _tar_twice() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for _ in range(2):
            archive.addfile(tarfile.TarInfo("a"))
    return out.getvalue()


def _latin1_zip() -> bytes:
    return make_zip({"xxxx.onnx": b"1"}).replace(b"xxxx", b"x\xe4xx")


def _patched_zip(flag: int) -> bytes:
    content = bytearray(make_zip({"a": b"1"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        struct.pack_into("<H", content, content.find(signature) + offset, flag)
    return bytes(content)


UNSAFE = {
    "zip: parent": make_zip({"../evil": b"1"}),
    "zip: hidden parent": make_zip({"a/../../evil": b"1"}),
    "zip: absolute": make_zip({"/etc/evil": b"1"}),
    "zip: backslash": make_zip({"a\\..\\evil": b"1"}),
    "zip: control character": make_zip({"a\nb": b"1"}),
    "zip: NUL in the name": make_zip({"goodXevil": b"1"}).replace(b"goodXevil", b"good\0evil"),
    "zip: link": make_zip({"a": b"/etc/passwd"}, mode=0o120777),
    "zip: device": make_zip({"a": b""}, mode=0o020666),
    "zip: encrypted": _patched_zip(1),
    "zip: not UTF-8": _latin1_zip(),
    "zip: twice": _zip_twice(),
    "zip: file and folder": make_zip({"a": b"1", "a/b": b"2"}),
    "tar: parent": make_tar({"../evil": b"1"}),
    "tar: absolute": make_tar({"/etc/evil": b"1"}),
    "tar: control character": make_tar({"a\x01b": b"1"}),
    "tar: symbolic link": make_tar({"a": b""}, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "tar: hard link": make_tar({"a": b""}, type=tarfile.LNKTYPE, linkname="b"),
    "tar: character device": make_tar({"a": b""}, type=tarfile.CHRTYPE),
    "tar: block device": make_tar({"a": b""}, type=tarfile.BLKTYPE),
    "tar: pipe": make_tar({"a": b""}, type=tarfile.FIFOTYPE),
    "tar: twice": _tar_twice(),
    "tar: file and folder": make_tar({"a": b"1", "a/b": b"2"}),
    "tar: not UTF-8": make_tar({"aXb": b"1"}).replace(b"aXb", b"a\xffb"),
    "tar: huge header": make_tgz({"x": b"1" * (3 * MIB)}, type=tarfile.GNUTYPE_LONGNAME),
}


@pytest.mark.parametrize("case", UNSAFE)
def test_hostile_members_are_refused(case: str, tmp_path: Path) -> None:
    content = UNSAFE[case]
    if case == "tar: not UTF-8":  # the header's checksum covers its name
        header = bytearray(content[:512])
        header[148:156] = b" " * 8
        header[148:156] = f"{sum(header):06o}\0 ".encode()
        content = bytes(header) + content[512:]
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(StorageError) as caught:
        unpack(tmp_path / "archive", tmp_path / "out")
    assert caught.value.reason == ARCHIVE_UNSAFE
    assert caught.value.message.isprintable()
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize("form", MAKERS)
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9])
def test_truncated_archives_are_broken(form: Format, kept: float, tmp_path: Path) -> None:
    content = MAKERS[form]({"a": bytes(range(256)) * 100, "b": b"2" * 5000})
    content = content.rstrip(b"\0") if form is Format.TAR else content
    (tmp_path / "archive").write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(StorageError) as caught:
        unpack(tmp_path / "archive", tmp_path / "out")
    assert caught.value.reason == ARCHIVE_BROKEN


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"hello", b"\x80\x04pickle", make_zip({}), make_tar({})]
)
def test_what_is_no_archive_or_empty_is_broken(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(content)
    with pytest.raises(StorageError) as caught:
        unpack(tmp_path / "archive", tmp_path / "out")
    assert caught.value.reason == ARCHIVE_BROKEN


@pytest.mark.parametrize("form", [Format.ZIP, Format.TAR_GZ])
def test_a_bomb_is_stopped_on_the_way(form: Format, tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(MAKERS[form]({"zeros": bytes(50 * MIB)}))
    with pytest.raises(StorageError) as caught:
        unpack(tmp_path / "bomb", tmp_path / "out")
    assert caught.value.reason == ARCHIVE_TOO_LARGE
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) <= 2 * MIB


def test_members_that_share_their_bytes_count_each(tmp_path: Path) -> None:
    plain = make_zip({"a": bytes(2 * MIB)})
    start, end = plain.find(b"PK\x01\x02"), plain.find(b"PK\x05\x06")
    entry = plain[start:end]
    copies = b"".join(entry[:46] + bytes([97 + index]) + entry[47:] for index in range(20))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 20, 20, len(copies), start, 0)
    (tmp_path / "bomb").write_bytes(plain[:start] + copies + tail)
    with pytest.raises(StorageError):
        unpack(tmp_path / "bomb", tmp_path / "out")
    assert sum(path.stat().st_size for path in (tmp_path / "out").rglob("*")) <= 2 * MIB


@pytest.mark.parametrize("form", MAKERS)
def test_too_many_members(form: Format, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(MAKERS[form]({f"f{index}": b"" for index in range(20)}))
    with pytest.raises(StorageError) as caught:
        unpack(tmp_path / "archive", tmp_path / "out", ArchiveLimits(max_members=10))
    assert caught.value.reason == ARCHIVE_TOO_LARGE


@pytest.mark.parametrize("form", MAKERS)
def test_too_many_bytes(form: Format, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(MAKERS[form]({"a": b"x" * 5000, "b": b"x" * 5001}))
    with pytest.raises(StorageError) as caught:
        unpack(tmp_path / "archive", tmp_path / "out", ArchiveLimits(max_bytes=10_000))
    assert caught.value.reason == ARCHIVE_TOO_LARGE


@pytest.mark.parametrize("form", MAKERS)
def test_more_than_the_volume_holds(form: Format, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(MAKERS[form]({"a": b"x" * 5000, "b": b"x" * 5001}))
    with pytest.raises(StorageError, match="room for 10000") as caught:
        unpack(tmp_path / "archive", tmp_path / "out", ArchiveLimits(room=10_000))
    assert caught.value.reason == NO_SPACE_LEFT
    unpack(tmp_path / "archive", tmp_path / "fits", ArchiveLimits(room=10_001))


def test_a_zip_with_an_endless_directory_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(make_zip({f"{index:0200}": b"" for index in range(100)}))
    with pytest.raises(StorageError) as caught:
        unpack(tmp_path / "archive", tmp_path / "out", ArchiveLimits(max_members=5))
    assert caught.value.reason == ARCHIVE_TOO_LARGE


def test_garbage_between_tar_members_is_seen(tmp_path: Path) -> None:
    first = make_tar({"a": b"1"})[:1024]
    (tmp_path / "archive").write_bytes(first + b"garbage!" * 64 + make_tar({"b": b"2"}))
    with pytest.raises(StorageError) as caught:
        unpack(tmp_path / "archive", tmp_path / "out")
    assert caught.value.reason == ARCHIVE_BROKEN


FULL = """
import pathlib, resource, sys
from tightship.storage import StorageError, unpack
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    unpack(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))
except StorageError as error:
    print(error.reason)
"""


@pytest.mark.parametrize("form", MAKERS)
def test_a_full_volume(form: Format, tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(MAKERS[form](CONTENT))
    command = [sys.executable, "-B", "-c", FULL, str(tmp_path / "archive"), str(tmp_path / "out")]
    environment = {"PYTHONPATH": str(Path(__file__).parents[3] / "operator")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == NO_SPACE_LEFT
