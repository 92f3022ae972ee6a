"""One reader of FILE.py:NAME and MODULE:NAME, for trainers and for metrics."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tightship.optimize import entry
from tightship.optimize.entry import METRIC, TRAINER, Part
from tightship.optimize.failures import RefusalError

FILES = {
    "mine.py": "import beside\nT = beside.WORD",
    "beside.py": "WORD = 'file'",
    "deep/nets.py": "from near import WORD as T",
    "deep/near.py": "WORD = 'deep'",
    "package/__init__.py": "T = 'package'",
    "package/part.py": "from package.other import T",
    "package/other.py": "T = 'part'",
    "my-own.py": "T = 'dash'",
    "json.py": "T = 'mine'",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    for name, code in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


FOUND = {
    "mine.py:T": "file",
    "mine:T": "file",
    "deep/nets.py:T": "deep",
    "deep/nets:T": "deep",
    "package:T": "package",
    "package.part:T": "part",
    "my-own.py:T": "dash",
    "json.py:T": "mine",
}


@pytest.mark.parametrize("name", FOUND)
def test_what_is_found(name: str, folder: Path) -> None:
    for part in (TRAINER, METRIC):
        assert entry.load(part, folder, name) == FOUND[name]


REFUSED = {
    "no such file": ("no.py:T", "file no.py does not exist"),
    "no such module": ("no.such:T", "module no.such does not exist"),
    "no such name": ("mine.py:U", "file has no 'U'"),
    "no name": ("mine.py", "has to be FILE.py:NAME or MODULE:NAME"),
    "another file": ("mine.txt-:T", "has to be FILE.py:NAME or MODULE:NAME"),
    "a call": ("mine.py:T()", "has to be FILE.py:NAME or MODULE:NAME"),
    "another's name": ("json:T", "a module that Python has already. .* json.py:NAME"),
}


@pytest.mark.parametrize("part", [TRAINER, METRIC], ids=lambda part: part.what)
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str, part: Part, folder: Path) -> None:
    asked, words = REFUSED[name]
    with pytest.raises(RefusalError, match=words) as caught:
        entry.load(part, folder, asked)
    assert caught.value.reason is part.invalid
    assert caught.value.message.startswith(f"The {part.what} ")


BELOW = {
    "mine.py:T": (".", "mine.py:T"),
    "/data/code/mine.py:T": ("/data/code", "mine.py:T"),
    "../code/package.part:T": ("../code", "package.part:T"),
}


@pytest.mark.parametrize("name", BELOW)
def test_the_command_line_parts_the_folder(name: str) -> None:
    folder, asked = BELOW[name]
    assert entry.below(name) == (Path(folder), asked)


@pytest.mark.parametrize("name", ["accuracy", "mine.py", "mine.py:", ":T", "a b:T", "mine.py:a.b"])
def test_what_is_no_entry(name: str) -> None:
    assert entry.split(name) is None
    assert entry.below(name) is None
