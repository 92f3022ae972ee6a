"""Files of known types, written on the spot from the packages' documentation."""

import io
import json
import plistlib
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from html import escape
from xml.etree import ElementTree as ET

from examples.models.documentation import Entry, entries

_EACH = 40
_ENTRIES_PER_FILE = 8


def make() -> Iterator[tuple[str, bytes]]:
    """Pairs of Magika's name of a type and a file of it; every file has other content."""
    documentation = entries()
    for number in range(_EACH):
        start = number * _ENTRIES_PER_FILE
        part = documentation[start : start + _ENTRIES_PER_FILE]
        for label, write in _WRITERS.items():
            yield label, write(part)


def _text(part: Sequence[Entry]) -> bytes:
    return "\n".join(f"{entry.title}: {entry.summary}" for entry in part).encode()


def _html(part: Sequence[Entry]) -> bytes:
    rows = "\n".join(
        f"<h2>{escape(entry.title)}</h2>\n<p class='doc'>{escape(entry.summary)}</p>"
        for entry in part
    )
    head = f"<head><meta charset='utf-8'><title>{escape(part[0].title)}</title></head>"
    return f"<!DOCTYPE html>\n<html>\n{head}\n<body>\n{rows}\n</body>\n</html>\n".encode()


def _xml(part: Sequence[Entry]) -> bytes:
    root = ET.Element("documentation", package=part[0].package)
    for entry in part:
        ET.SubElement(root, "entry", title=entry.title).text = entry.summary
    ET.indent(root)
    return bytes(ET.tostring(root, encoding="utf-8", xml_declaration=True))


def _json(part: Sequence[Entry]) -> bytes:
    return json.dumps([_fields(entry) for entry in part], indent=2).encode()


def _json_lines(part: Sequence[Entry]) -> bytes:
    return "".join(json.dumps(_fields(entry)) + "\n" for entry in part).encode()


def _property_list(part: Sequence[Entry]) -> bytes:
    return plistlib.dumps([_fields(entry) for entry in part], fmt=plistlib.FMT_BINARY)


def _zip(part: Sequence[Entry]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, entry in enumerate(part):
            archive.writestr(zipfile.ZipInfo(f"{entry.package}/{number}.txt"), entry.summary)
    return file.getvalue()


def _tar(part: Sequence[Entry]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for number, entry in enumerate(part):
            data = entry.summary.encode()
            member = tarfile.TarInfo(f"{entry.package}/{number}.txt")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


def _png(part: Sequence[Entry]) -> bytes:
    """A grey picture whose pixels are the text (PNG specification, sections 5.2 and 11.2)."""
    text, side = _text(part), 48
    pixels = (text * (side * side // len(text) + 1))[: side * side]
    rows = b"".join(b"\0" + pixels[row * side : (row + 1) * side] for row in range(side))
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def _fields(entry: Entry) -> dict[str, str]:
    return {"package": entry.package, "title": entry.title, "summary": entry.summary}


_WRITERS: dict[str, Callable[[Sequence[Entry]], bytes]] = {
    "applebplist": _property_list,
    "html": _html,
    "json": _json,
    "jsonl": _json_lines,
    "png": _png,
    "tar": _tar,
    "xml": _xml,
    "zip": _zip,
}
