"""A folder of finished work by key: entries that are whole or not there, the least used evicted.

An entry is a folder KEY with `entry.json` (facts; names, sizes and digests of its files; a digest
over all that) and the files as 0, 1, ... It is written beside and renamed, so a run that is killed
leaves none that is half. Digests find damage, not malice: whoever may write here decides what
comes out.
"""

import hashlib
import json
import os
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from tightship.optimize.budget import GIB

DEFAULT_GIB = 5.0
_INDEX = "entry.json"
_PART = ".part-"
_CHUNK = 1 << 20
_ABANDONED = 3600.0  # seconds after which a part cannot be one that is being written


class _DamagedError(Exception):
    """An entry does not hold what it says."""


def default_folder() -> Path:
    """`tightship/optimize` in the user's cache folder (XDG Base Directory Specification)."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    root = Path(given) if given.startswith("/") else Path.home() / ".cache"
    return root / "tightship" / "optimize"


def digest(value: object) -> str:
    """Of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def file_digest(file: Path) -> str:
    """sha256 of a file's bytes."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class Cache:
    """Several runs may share one: a reader copies what it reads, and misses what goes meanwhile."""

    def __init__(self, folder: Path, limit: int, tell: Callable[[str], None]) -> None:
        """`limit` in bytes; `tell` gets a sentence for everything that is thrown away or fails."""
        self.folder, self._limit, self._tell = folder, limit, tell
        self._writable = True
        self._drop_abandoned()

    def get(self, key: str, target: Path) -> dict[str, Any] | None:
        """Copy an entry's files into `target`; its facts, or None when it is not there."""
        entry = self.folder / key
        if not (entry / _INDEX).exists():
            return None
        try:
            facts = _restored(entry, target)
        except (FileNotFoundError, ValueError, KeyError, TypeError, _DamagedError):
            self._remove(entry)
            self._tell(f"an entry of the cache was damaged and is thrown away: {key[:12]}")
            return None
        except OSError:  # the disk's matter, not the entry's
            return None
        with suppress(OSError):  # a folder that may only be read
            os.utime(entry / _INDEX)
        return facts

    def put(self, key: str, facts: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        """Keep copies of the files, by the names that `get` gives them; evict what is too much.

        What cannot be written, or is larger than the limit, is not kept; the work goes on.
        """
        size = sum(file.stat().st_size for file in files.values())
        if not self._writable or size > self._limit:
            return
        part = self.folder / f"{_PART}{secrets.token_hex(8)}"
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.mkdir()
            _written(part, facts, files)
            with suppress(FileExistsError):  # ENOTEMPTY too: another run was first
                _renamed(part, self.folder / key)
            self._evict(keep=key)
        except OSError as error:
            self._writable = False
            self._tell(f"the cache {self.folder} cannot be written ({error.strerror})")
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def _evict(self, keep: str) -> None:
        """Remove entries, the one that was not used for the longest time first."""
        found = sorted(_entries(self.folder), reverse=True)
        total = 0
        for _, size, entry in found:
            total += size
            if total > self._limit and entry.name != keep:
                self._remove(entry)
                total -= size

    def _remove(self, entry: Path) -> None:
        """Rename first: nobody finds an entry of which a part is gone."""
        part = self.folder / f"{_PART}{secrets.token_hex(8)}"
        with suppress(OSError):  # another run was first
            entry.rename(part)
        shutil.rmtree(part, ignore_errors=True)

    def _drop_abandoned(self) -> None:
        for part in self.folder.glob(f"{_PART}*"):
            with suppress(FileNotFoundError):
                if time.time() - part.stat().st_mtime > _ABANDONED:
                    shutil.rmtree(part, ignore_errors=True)


def _entries(folder: Path) -> list[tuple[float, int, Path]]:
    """(last use, bytes, folder) of each entry."""
    found = []
    for entry in folder.iterdir():
        with suppress(OSError):  # removed meanwhile
            if not entry.name.startswith(_PART):
                used = (entry / _INDEX).stat().st_mtime
                found.append((used, sum(file.stat().st_size for file in entry.iterdir()), entry))
    return found


def _renamed(part: Path, entry: Path) -> None:
    try:
        part.rename(entry)
    except OSError as error:
        if entry.is_dir():
            raise FileExistsError from error
        raise


def _written(part: Path, facts: Mapping[str, Any], files: Mapping[str, Path]) -> None:
    rows = []
    for number, (name, file) in enumerate(files.items()):
        rows.append([name, *_copied(file, part / str(number))])
    content = {"facts": dict(facts), "files": rows}
    index = {"content": content, "sha256": digest(content)}
    (part / _INDEX).write_text(json.dumps(index))


def _restored(entry: Path, target: Path) -> dict[str, Any]:
    index = json.loads((entry / _INDEX).read_text())
    content = index["content"]
    if digest(content) != index["sha256"]:
        raise _DamagedError
    for number, (name, size, sha256) in enumerate(content["files"]):
        file = target / name
        if not file.resolve().is_relative_to(target.resolve()):
            raise _DamagedError
        file.parent.mkdir(parents=True, exist_ok=True)
        if _copied(entry / str(number), file) != (size, sha256):
            file.unlink()
            raise _DamagedError
    facts: dict[str, Any] = content["facts"]
    return facts


def _copied(source: Path, target: Path) -> tuple[int, str]:
    """Copy a file; its size and sha256 on the way."""
    total, size = hashlib.sha256(), 0
    with source.open("rb") as reading, target.open("wb") as writing:
        while chunk := reading.read(_CHUNK):
            total.update(chunk)
            size += len(chunk)
            writing.write(chunk)
    return size, total.hexdigest()


def limit_bytes(gib: float) -> int:
    """The bytes of so many GiB."""
    return int(gib * GIB)
