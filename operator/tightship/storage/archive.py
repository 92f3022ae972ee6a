"""Safe unpacking of hostile archives: .zip, .tar and .tar.gz, known by content and not by name."""

import stat
import zipfile
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Final

from tightship.storage.digests import FileDigest
from tightship.storage.sink import writing
from tightship.storage.tarball import unpack_tar
from tightship.storage.unpacking import ArchiveLimits, Target, broken, readable, unsafe_member
from tightship.storage.zipdirectory import directory_bytes

_TAR_MAGIC_AT: Final = 257
_ENCRYPTED: Final = 0x1
_UTF8: Final = 0x800


class Format(StrEnum):
    """Archives that are unpacked."""

    ZIP = "zip"
    TAR = "tar"
    TAR_GZ = "tar.gz"


def archive_format(path: Path) -> Format | None:
    """The format by the file's first bytes; None for everything that is no archive."""
    with path.open("rb") as file:
        head = file.read(512)
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return Format.ZIP
    if head.startswith(b"\x1f\x8b"):
        return Format.TAR_GZ
    if head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar":
        return Format.TAR
    return None


def unpack(
    archive: Path,
    to: Path,
    limits: ArchiveLimits | None = None,
    *,
    taken: Callable[[str], bool] = lambda _: True,
) -> tuple[FileDigest, ...]:
    """Unpack an archive into the new folder `to` and return its files, sorted.

    Modes, owners and times of the members are not taken over. Of a tar, only members whose names
    are `taken` are unpacked or judged. On an error `to` may hold a part.

    Raises:
        StorageError: ArchiveBroken (no archive, truncated, bad checksum), ArchiveUnsafe (paths that
            leave the folder, links, devices, encrypted or duplicate members, names that are not
            plain UTF-8), ArchiveTooLarge (members, bytes, ratio), NoSpaceLeft, WriteFailed.
    """
    limits = limits or ArchiveLimits()
    form = archive_format(archive)
    if form is None:
        raise broken(archive, "it is no zip, tar or tar.gz file")
    with writing(to.name):
        to.mkdir(parents=True)
    target = Target(archive, to, limits)
    with readable(archive):
        if form is Format.ZIP:
            _unpack_zip(archive, target)
        else:
            unpack_tar(archive, target, packed=form is Format.TAR_GZ, taken=taken)
    return target.files()


def _unpack_zip(archive: Path, target: Target) -> None:
    with archive.open("rb") as file:
        # zipfile holds the whole directory in memory: it is bounded before zipfile sees it.
        if directory_bytes(file) > target.limits.max_members * 1024:
            raise target.too_large()
        file.seek(0)
        with zipfile.ZipFile(file) as source:
            for member in source.infolist():
                _check_zip_member(archive, member)
                if member.is_dir():
                    target.folder(member.filename)
                else:
                    with source.open(member) as content:
                        target.file(member.filename, content, member.file_size)


def _check_zip_member(archive: Path, member: zipfile.ZipInfo) -> None:
    name = member.orig_filename
    if member.flag_bits & _ENCRYPTED:
        raise unsafe_member(archive, name, "is encrypted")
    if not (member.flag_bits & _UTF8 or name.isascii()):
        raise unsafe_member(archive, name, "has a name that is not UTF-8")
    if name != member.filename:
        raise unsafe_member(archive, name, "has an unsafe name")
    kind = stat.S_IFMT(member.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        raise unsafe_member(archive, name, "is a link or a device")
