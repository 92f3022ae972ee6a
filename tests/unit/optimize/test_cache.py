"""The cache: entries that are whole or not there, within a limit."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tightship.optimize.cache import Cache, default_folder, digest

KB = 1 << 10
LIMIT = 100 * KB


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def cache(tmp_path: Path, told: list[str]) -> Cache:
    return Cache(tmp_path / "cache", LIMIT, told.append)


def keep(cache: Cache, key: str, size: int = KB, used: float | None = None) -> None:
    """An entry with one file; `used` is when it was used last."""
    file = cache.folder.parent / "made"
    file.write_bytes(key.encode() * (size // len(key)))
    cache.put(key, {"key": key}, {"sub/model.onnx": file})
    if used is not None:
        os.utime(cache.folder / key / "entry.json", (used, used))


def found(cache: Cache, key: str) -> bool:
    return cache.get(key, cache.folder.parent / "target") is not None


def test_what_was_kept_comes_back(cache: Cache, tmp_path: Path, told: list[str]) -> None:
    facts = {"value": 0.1, "rows": [[1, "x"]], "nothing": None}
    (tmp_path / "a").write_bytes(b"\0" * 3000)
    (tmp_path / "b").write_bytes(b"")
    cache.put("k", facts, {"model.onnx": tmp_path / "a", "answers/0.npy": tmp_path / "b"})

    again = Cache(tmp_path / "cache", LIMIT, told.append)
    assert again.get("k", tmp_path / "target") == facts
    assert (tmp_path / "target" / "model.onnx").read_bytes() == b"\0" * 3000
    assert (tmp_path / "target" / "answers" / "0.npy").read_bytes() == b""
    assert again.get("other", tmp_path / "target") is None
    assert told == []


def test_only_its_owner_reads_it(cache: Cache) -> None:
    keep(cache, "k")
    assert cache.folder.stat().st_mode & 0o777 == 0o700


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def escaping(entry: Path) -> None:
    """A name that leads out, with digests that are right."""
    index = json.loads((entry / "entry.json").read_text())
    index["content"]["files"][0][0] = "../outside"
    index["sha256"] = digest(index["content"])
    (entry / "entry.json").write_text(json.dumps(index))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a bit of the file": lambda entry: flipped(entry / "0"),
    "a shorter file": lambda entry: (entry / "0").write_bytes(b"k"),
    "no file": lambda entry: (entry / "0").unlink(),
    "a bit of the index": lambda entry: flipped(entry / "entry.json"),
    "an empty index": lambda entry: (entry / "entry.json").write_bytes(b""),
    "an index of another kind": lambda entry: (entry / "entry.json").write_text("[]"),
    "a name that leads out": escaping,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_entry_is_thrown_away_and_made_anew(
    damage: Callable[[Path], object], cache: Cache, told: list[str]
) -> None:
    keep(cache, "k")
    damage(cache.folder / "k")

    assert not found(cache, "k")
    assert not (cache.folder.parent / "outside").exists()
    assert told == ["an entry of the cache was damaged and is thrown away: k"]
    assert not list(cache.folder.iterdir())
    keep(cache, "k")
    assert found(cache, "k")


def test_the_least_recently_used_goes_first(cache: Cache) -> None:
    for age, key in enumerate(("oldest", "older", "young")):
        keep(cache, key, 30 * KB, used=1000.0 + age)
    assert found(cache, "oldest")  # which makes it the youngest

    keep(cache, "new", 30 * KB)

    assert [key for key in ("oldest", "older", "young", "new") if found(cache, key)] == [
        "oldest",
        "young",
        "new",
    ]


def test_it_never_grows_beyond_its_limit(cache: Cache) -> None:
    for number in range(20):
        keep(cache, f"key-{number:02}", 15 * KB)
        total = sum(f.stat().st_size for f in cache.folder.rglob("*") if f.is_file())
        assert total <= LIMIT
    assert found(cache, "key-19")


def test_what_is_larger_than_the_limit_evicts_nothing(cache: Cache, told: list[str]) -> None:
    keep(cache, "small")
    keep(cache, "large", LIMIT + KB)
    assert found(cache, "small")
    assert not found(cache, "large")
    assert told == []


def test_an_equal_entry_of_another_run_stays(cache: Cache, told: list[str]) -> None:
    keep(cache, "k")
    before = (cache.folder / "k" / "0").stat().st_ino
    keep(cache, "k")
    assert (cache.folder / "k" / "0").stat().st_ino == before
    assert [entry.name for entry in cache.folder.iterdir()] == ["k"]
    assert told == []


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path: Path, told: list[str]) -> None:
    (tmp_path / "file").write_text("no folder")
    cache = Cache(tmp_path / "file" / "cache", LIMIT, told.append)
    (tmp_path / "made").write_bytes(b"x")
    for key in ("a", "b"):
        cache.put(key, {}, {"x": tmp_path / "made"})
        assert cache.get(key, tmp_path / "target") is None
    assert told == [f"the cache {cache.folder} cannot be written (Not a directory)"]


def test_parts_of_a_killed_run_are_removed_once_they_are_old(cache: Cache) -> None:
    keep(cache, "k")
    young, old = cache.folder / ".part-1", cache.folder / ".part-2"
    for part in (young, old):
        part.mkdir()
    os.utime(old, (0, 0))
    again = Cache(cache.folder, LIMIT, print)
    assert {entry.name for entry in again.folder.iterdir()} == {"k", ".part-1"}
    assert found(again, "k")


def test_its_folder_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert default_folder() == Path("/elsewhere/tightship/optimize")
    for unusable in ("", "relative"):
        monkeypatch.setenv("XDG_CACHE_HOME", unusable)
        assert default_folder() == tmp_path / ".cache" / "tightship" / "optimize"
