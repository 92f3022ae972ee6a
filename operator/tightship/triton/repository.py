"""The local model repository: what lies where, and publishing a model in one step.

Triton reads `ROOT/NAME`, a symlink into `ROOT/.builds/NAME/IDENTITY`. A model is made there first
and then published by renaming a new symlink over the old one: Triton never sees half a model. The
folder `.builds` is on the same volume, because both containers must be able to follow the link.
"""

import itertools
import os
import shutil
import time
from pathlib import Path

_BUILDS = ".builds"
CONFIG = "config.pbtxt"


class Repository:
    """The model repository at `root`. Names and identities are single path components."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._ticks = itertools.count(time.time_ns(), 1_000_000)

    def publish(
        self, name: str, identity: str, *, files: Path, config: str, version: int = 1
    ) -> None:
        """Puts a model in the repository: the files of `files` as `version`, and this config.

        Files are hard-linked where the volumes allow it and copied otherwise. All modification
        times are new: Triton takes older files for unchanged and keeps serving what it has.

        Raises:
            OSError: the volume is full or not writable.
        """
        build = self._root / _BUILDS / name / identity
        shutil.rmtree(build, ignore_errors=True)
        try:
            shutil.copytree(files, build / str(version), copy_function=_link_or_copy)
            (build / CONFIG).write_text(config)
        except OSError:
            shutil.rmtree(build, ignore_errors=True)
            raise
        self._touch(build)
        self._point(name, identity)
        self._drop_builds(name, keep=identity)

    def withdraw(self, name: str) -> None:
        """Takes a model out of the repository, if it is there."""
        link = self._root / name
        if link.is_symlink():
            link.unlink()
        shutil.rmtree(self._root / _BUILDS / name, ignore_errors=True)

    def published(self) -> dict[str, str]:
        """Names that are in the repository through us, and the identity that each points to."""
        return {
            path.name: path.readlink().name
            for path in sorted(self._root.iterdir())
            if path.is_symlink()
        }

    def _point(self, name: str, identity: str) -> None:
        unnamed = self._root / _BUILDS / f"{name}.link"
        unnamed.unlink(missing_ok=True)
        unnamed.symlink_to(Path(_BUILDS) / name / identity)
        unnamed.rename(self._root / name)

    def _touch(self, build: Path) -> None:
        """Gives everything in a build one time that is later than that of any build before it."""
        instant = max(next(self._ticks), time.time_ns())
        for path in [build, *build.rglob("*")]:
            os.utime(path, ns=(instant, instant))

    def _drop_builds(self, name: str, keep: str) -> None:
        for path in (self._root / _BUILDS / name).iterdir():
            if path.name != keep:
                shutil.rmtree(path)


def _link_or_copy(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
