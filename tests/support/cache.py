"""The cache outside the repository: what tests make once, keyed by what it was made from."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def folder() -> Path:
    """The cache's root: TIGHTSHIP_CACHE, or ~/.cache/tightship."""
    root = Path(os.environ.get("TIGHTSHIP_CACHE") or Path.home() / ".cache" / "tightship")
    root.mkdir(parents=True, exist_ok=True)
    return root


def digest(*paths: Path, extra: str = "") -> str:
    """Twelve digits of a hash over names and contents of files and of all files in folders."""
    total = hashlib.sha256(extra.encode())
    for path in paths:
        files = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                total.update(str(file.relative_to(REPOSITORY)).encode() + b"\0" + file.read_bytes())
    return total.hexdigest()[:12]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the cache's lock `name` against other test runs on this machine."""
    locks = folder() / "locks"
    locks.mkdir(exist_ok=True)
    with (locks / name).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def made(name: str, make: Callable[[Path], None]) -> Path:
    """The cache's folder `name`, filled by `make` the first time; a half-made one is made anew."""
    path = folder() / name
    with locked(name):
        if not path.exists():
            unfinished = path.with_name(f"{name}.unfinished")
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(parents=True)
            make(unfinished)
            unfinished.rename(path)
    return path
