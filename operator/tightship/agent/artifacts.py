"""Artifacts on the agent's own volume: fetched by digest, every byte checked, evicted if spare."""

import asyncio
import json
import shutil
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol
from weakref import WeakValueDictionary

from tightship.agent.failures import ARTIFACT_CORRUPT, NO_SPACE_LEFT, LoadingError
from tightship.agent.golden import Tolerance
from tightship.api.agent import ModelAssignment
from tightship.api.artifact import MANIFEST
from tightship.drift.reference import REFERENCE
from tightship.storage import Publication, StorageError, file_digest

_SPARE_MAX = 3  # artifacts kept though no model is assigned that needs them: a step back is cheap
_FETCHES = 2  # at once
_REQUIRED = frozenset({"golden.npz", "model/config.pbtxt"})


class ArtifactSource(Protocol):
    """Where artifacts come from."""

    async def fetch(self, wanted: ModelAssignment, to: Path) -> None:
        """Writes all files of an artifact into a folder.

        Raises:
            LoadingError: ArtifactMissing, ArtifactCorrupt, StoreUnreachable or NoSpaceLeft.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """One complete, checked artifact on disk."""

    config: str  # text of config.pbtxt
    model: Path  # folder of what Triton's version folder is to hold
    golden: Path
    tolerance: Tolerance
    reference: Path | None  # what traffic is compared with; older artifacts have none


class ArtifactCache:
    """Artifacts below `root`, one folder for each digest, the last used last touched."""

    def __init__(self, root: Path, source: ArtifactSource) -> None:
        self._root = root
        self._source = source
        self._fetching = asyncio.Semaphore(_FETCHES)
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        root.mkdir(parents=True, exist_ok=True)

    async def get(self, wanted: ModelAssignment, needed: Collection[str]) -> Artifact:
        """The artifact, from disk where its hashes check out and else from the store.

        `needed` are the digests that must stay when room has to be made.

        Raises:
            LoadingError: it cannot be had; nothing half-fetched stays on disk.
        """
        lock = self._locks.setdefault(wanted.digest, asyncio.Lock())
        async with lock:  # several models may be the same artifact
            return await self._get(wanted, needed)

    async def _get(self, wanted: ModelAssignment, needed: Collection[str]) -> Artifact:
        folder = self._root / wanted.digest
        if folder.is_dir():
            try:
                artifact = await asyncio.to_thread(_checked, folder, wanted.digest)
            except LoadingError:
                await asyncio.to_thread(shutil.rmtree, folder)
            else:
                folder.touch()
                return artifact
        async with self._fetching:
            try:
                await self._fetch(wanted, folder)
            except LoadingError as error:
                if error.failure.reason != NO_SPACE_LEFT or not self.trim(needed, spare=0):
                    raise
                await self._fetch(wanted, folder)
        return await asyncio.to_thread(_checked, folder, wanted.digest)

    def trim(self, needed: Collection[str], *, spare: int = _SPARE_MAX) -> int:
        """Removes artifacts that are not needed, but for the `spare` last used; how many went."""
        unneeded = [f for f in self._root.iterdir() if f.suffix != ".part" and f.name not in needed]
        unneeded.sort(key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
        for folder in unneeded[spare:]:
            shutil.rmtree(folder)
        return len(unneeded[spare:])

    async def _fetch(self, wanted: ModelAssignment, folder: Path) -> None:
        part = folder.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        try:
            await self._source.fetch(wanted, part)
            part.rename(folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _checked(folder: Path, digest: str) -> Artifact:
    """The artifact in a folder, once every byte is what the digest fixes."""
    try:
        own = file_digest(folder / MANIFEST)
        manifest = (folder / MANIFEST).read_bytes()
        files = Publication(uri=folder.name, digest=digest, manifest=manifest).files
        found = [file_digest(folder / file.path, file.path) for file in files]
    except StorageError as error:
        raise _corrupt(error.message) from error
    except OSError as error:
        raise _corrupt(f"{error.filename} cannot be read: {error.strerror}") from error
    if own.sha256 != digest:
        raise _corrupt(f"manifest.json has digest {own.sha256[:12]}, wanted is {digest[:12]}")
    wrong = sorted({file.path for file in set(found) - set(files)})
    if wrong:
        raise _corrupt(f"{wrong[0]} is not what the manifest says")
    names = {file.path for file in files}
    if _REQUIRED - names:
        raise _corrupt(f"the manifest does not list {sorted(_REQUIRED - names)}")
    return _artifact(folder, manifest, names)


def _artifact(folder: Path, manifest: bytes, names: Collection[str]) -> Artifact:
    version = {PurePosixPath(name).parts[1] for name in names if name.startswith("model/")}
    if version != {"config.pbtxt", "1"}:
        raise _corrupt(f"model/ holds {sorted(version)} instead of config.pbtxt and 1")
    try:
        golden = json.loads(manifest)["golden"]
        return Artifact(
            config=(folder / "model" / "config.pbtxt").read_text(),
            model=folder / "model" / "1",
            golden=folder / "golden.npz",
            reference=folder / REFERENCE if REFERENCE in names else None,
            tolerance=Tolerance(
                rtol=float(golden["rtol"]),
                atol=float(golden["atol"]),
                agreement=float(golden.get("agreement", 1.0)),
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _corrupt(f"the manifest says nothing usable of golden samples ({error})") from error


def _corrupt(what: str) -> LoadingError:
    return LoadingError(
        ARTIFACT_CORRUPT,
        f"the artifact is not what was published: {what}; publish the model again, or restore the "
        "store's content",
    )
