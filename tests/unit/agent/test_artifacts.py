"""Artifacts on disk: checked byte by byte, fetched once, evicted when there is no room."""

import asyncio
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tightship.agent.artifacts import ArtifactCache
from tightship.agent.failures import NO_SPACE_LEFT, LoadingError
from tightship.agent.golden import Tolerance
from tightship.api.agent import ModelAssignment, ServingConfig
from tightship.storage import write_manifest

Change = Callable[[Path], None]


class Shelf:
    """A source that copies folders; `room` is how many fetches succeed until the disk is full."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.fetches = 0
        self.room = 10**6

    def add(self, name: str, change: Change = lambda _: None) -> ModelAssignment:
        """An artifact; `change` spoils it before its manifest is written."""
        folder = self.root / name
        (folder / "model" / "1").mkdir(parents=True)
        (folder / "model" / "1" / "model.onnx").write_bytes(name.encode())
        (folder / "model" / "config.pbtxt").write_text("max_batch_size: 4")
        np.savez(folder / "golden.npz", **{"in/x": np.ones(3), "out/y": np.ones(3)})  # type: ignore[arg-type]
        change(folder)
        digest = write_manifest(folder, {"golden": {"rtol": 0.1, "atol": 0.2}})
        folder.rename(self.root / digest)
        return ModelAssignment(
            name=name, key="a" * 64, digest=digest, memory=1, config=ServingConfig()
        )

    async def fetch(self, wanted: ModelAssignment, to: Path) -> None:
        self.fetches += 1
        await asyncio.sleep(0)
        if self.room == 0:
            raise LoadingError(NO_SPACE_LEFT, "full")
        self.room -= 1
        shutil.copytree(self.root / wanted.digest, to, dirs_exist_ok=True)


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    (tmp_path / "shelf").mkdir()
    return Shelf(tmp_path / "shelf")


@pytest.fixture
def cache(tmp_path: Path, shelf: Shelf) -> ArtifactCache:
    return ArtifactCache(tmp_path / "artifacts", shelf)


def _held(tmp_path: Path) -> set[str]:
    return {path.name for path in (tmp_path / "artifacts").iterdir()}


async def test_an_artifact_is_read_as_documented(cache: ArtifactCache, shelf: Shelf) -> None:
    artifact = await cache.get(shelf.add("one"), set())
    assert artifact.config == "max_batch_size: 4"
    assert (artifact.model / "model.onnx").read_bytes() == b"one"
    assert artifact.golden.is_file()
    assert artifact.tolerance == Tolerance(rtol=0.1, atol=0.2, agreement=1.0)


async def test_it_is_fetched_once(cache: ArtifactCache, shelf: Shelf) -> None:
    wanted = shelf.add("one")
    await asyncio.gather(*(cache.get(wanted, set()) for _ in range(5)))
    assert shelf.fetches == 1


async def test_a_rotten_copy_is_fetched_again(
    cache: ArtifactCache, shelf: Shelf, tmp_path: Path
) -> None:
    wanted = shelf.add("one")
    await cache.get(wanted, set())
    (tmp_path / "artifacts" / wanted.digest / "model" / "1" / "model.onnx").write_bytes(b"rot")
    artifact = await cache.get(wanted, set())
    assert (artifact.model / "model.onnx").read_bytes() == b"one"


def _extra(path: str) -> Change:
    def change(folder: Path) -> None:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("extra")

    return change


def _without(path: str) -> Change:
    return lambda folder: (folder / path).unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        pytest.param(_without("golden.npz"), "golden.npz", id="no-golden-samples"),
        pytest.param(_without("model/config.pbtxt"), "config.pbtxt", id="no-config"),
        pytest.param(_extra("model/2/model.onnx"), "model/ holds", id="second-version"),
        pytest.param(_extra("model/run.sh"), "model/ holds", id="stray-file"),
    ],
)
async def test_another_layout_is_refused(
    cache: ArtifactCache, shelf: Shelf, change: Change, words: str
) -> None:
    with pytest.raises(LoadingError, match=words) as found:
        await cache.get(shelf.add("one", change), set())
    assert found.value.failure.reason == "ArtifactCorrupt"


@pytest.mark.parametrize("manifest", ["{", "[]", '{"schema": 2, "files": {}}', '{"schema": 1}'])
async def test_a_manifest_of_another_form_is_refused(
    cache: ArtifactCache, shelf: Shelf, tmp_path: Path, manifest: str
) -> None:
    wanted = shelf.add("one")
    (tmp_path / "shelf" / wanted.digest / "manifest.json").write_text(manifest)
    with pytest.raises(LoadingError) as found:
        await cache.get(wanted, set())
    assert found.value.failure.reason == "ArtifactCorrupt"


async def test_golden_tolerances_are_required(
    cache: ArtifactCache, shelf: Shelf, tmp_path: Path
) -> None:
    wanted = shelf.add("one")
    folder = tmp_path / "shelf" / wanted.digest
    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["golden"]["atol"]
    (folder / "manifest.json").unlink()
    digest = write_manifest(folder, {"golden": manifest["golden"]})
    folder.rename(folder.with_name(digest))
    other = ModelAssignment(
        name="one", key="a" * 64, digest=digest, memory=1, config=ServingConfig()
    )
    with pytest.raises(LoadingError, match="golden samples"):
        await cache.get(other, set())


async def test_a_failed_fetch_leaves_nothing(
    cache: ArtifactCache, shelf: Shelf, tmp_path: Path
) -> None:
    wanted = shelf.add("one")
    shelf.room = 0
    with pytest.raises(LoadingError, match="full"):
        await cache.get(wanted, set())
    assert _held(tmp_path) == set()


async def test_room_is_made_from_what_nobody_needs(
    cache: ArtifactCache, shelf: Shelf, tmp_path: Path
) -> None:
    needed, spare, new = (shelf.add(name) for name in ("needed", "spare", "new"))
    await cache.get(needed, set())
    await cache.get(spare, set())
    shelf.room = 0
    with pytest.raises(LoadingError, match="full"):
        await cache.get(new, {needed.digest})
    assert _held(tmp_path) == {needed.digest}
    shelf.room = 1
    await cache.get(new, {needed.digest})
    assert _held(tmp_path) == {needed.digest, new.digest}


async def test_spare_artifacts_are_few_and_the_last_used(
    cache: ArtifactCache, shelf: Shelf, tmp_path: Path
) -> None:
    wanted = [shelf.add(f"model-{number}") for number in range(6)]
    for model in wanted:
        await cache.get(model, set())
    await cache.get(wanted[0], set())
    cache.trim({wanted[1].digest}, spare=2)
    assert _held(tmp_path) == {wanted[number].digest for number in (0, 1, 5)}
