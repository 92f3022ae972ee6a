"""Size of a zip's central directory, read from its end records before any library reads it whole.

Source: PKWARE APPNOTE.TXT, sections 4.3.14 to 4.3.16.
"""

import os
import struct
from typing import IO, Final

_END: Final = struct.Struct("<4s4H2LH")
_LOCATOR: Final = struct.Struct("<4sLQL")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_COMMENT_MAX: Final = 0xFFFF
_IN_ZIP64: Final = 0xFFFFFFFF


def directory_bytes(file: IO[bytes]) -> int:
    """The larger of the sizes that the end records tell; 0 when there is none (no zip)."""
    size = file.seek(0, os.SEEK_END)
    start = max(0, size - _END.size - _COMMENT_MAX)
    file.seek(start)
    tail = file.read(_END.size + _COMMENT_MAX)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or at + _END.size > len(tail):
        return 0
    told = int(_END.unpack_from(tail, at)[5])
    return max(told if told != _IN_ZIP64 else 0, _directory64_bytes(file, start + at))


def _directory64_bytes(file: IO[bytes], end: int) -> int:
    if end < _LOCATOR.size + _END64.size:
        return 0
    file.seek(end - _LOCATOR.size)
    signature, _, offset, _ = _LOCATOR.unpack(file.read(_LOCATOR.size))
    if signature != b"PK\x06\x07":
        return 0
    # Some readers take the record before the locator, others the one at its offset: both count.
    records = []
    for position in {end - _LOCATOR.size - _END64.size, min(offset, end - _END64.size)}:
        file.seek(position)
        record = _END64.unpack(file.read(_END64.size))
        records.append(int(record[8]) if record[0] == b"PK\x06\x06" else 0)
    return max(records)
