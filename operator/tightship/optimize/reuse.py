"""What a conversion takes from an earlier one: everything that is no timing.

A key is made of all that decides a result: the model's bytes, the samples', what is asked of them,
this package's own code, every installed package, the processor's instruction sets. Results that are
failures are not kept, since memory and time may have caused them, nor is anything that was trained
or judged by a user's own code: nobody sees whether what that code reads is the same. Nor are
verdicts from an accelerator, which is not in the key.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache as once
from importlib import metadata
from pathlib import Path
from typing import Any

from tightship.optimize import machine
from tightship.optimize.budget import Budget, cpus
from tightship.optimize.cache import Cache, digest, file_digest
from tightship.optimize.contract import Contract
from tightship.optimize.engine import Executable
from tightship.optimize.evaluate import Judging
from tightship.optimize.techniques import Recipe, trained

FORMAT = 1
ANSWERS = "answers"
LOOK = "lookSpeedup"
_PACKAGE = Path(__file__).parent
_PLACES = ("dataset", "reference", "original")  # of Judging: folders, whose contents are told apart
_SPEED = ("min_speedup", "threads")  # of Judging: only the quick look asks for them


class Reuse:
    """One conversion's view of the cache; without one it finds nothing and keeps nothing."""

    def __init__(
        self, cache: Cache | None, original: Path, contract: Contract, budget: Budget
    ) -> None:
        self._cache = cache
        self._ground: dict[str, Any] = {}
        self._judged: dict[str, Any] = {}
        self._start = ""
        self._own = False
        self.taken: dict[str, int] = {}
        if cache is not None:
            self._ground = {
                **installed(),
                "model": model_digest(original),
                "contract": contract.to_json(),
                "verify": [budget.verify_samples, budget.evaluation_batch],
            }
            self._start = self._ground["model"]

    def given(self, calibration: Path, judged: Path, judging: Judging) -> None:
        """The samples, as folders, and what candidates are judged by: known before the baseline."""
        if self._cache is None:
            return
        self._own = judging.own is not None
        asked = {
            name: value
            for name, value in judging.to_json().items()
            if name not in (*_PLACES, *_SPEED)
        }
        self._ground["calibration"] = folder_digest(calibration)
        self._judged = {"samples": folder_digest(judged), "asked": asked}

    def start_from(self, normalised: Path) -> None:
        """The file that all techniques start from."""
        if self._cache is not None:
            self._start = model_digest(normalised)

    def baseline(self) -> str | None:
        """Key of the original's answers and metric; None when they are not to be kept."""
        return None if self._own else self._key("baseline", **self._judged)

    def normalised(self) -> str:
        """Key of the normalised file."""
        return self._key("normalised")

    def built(self, recipe: Recipe) -> str | None:
        """Key of a candidate's file; None when it is not to be kept."""
        if any(step.name == trained.NAME for step in recipe.passes):
            return None
        passes = [[step.name, dict(step.params)] for step in recipe.passes]
        return self._key(
            "built",
            start=self._start,
            passes=passes,
            engine=asdict(recipe.engine),
            file=recipe.file,
        )

    def verdict(self, recipe: Recipe) -> str | None:
        """Key of what the data said of a candidate; None when it is not to be kept."""
        file = self.built(recipe)
        if file is None or self._own or recipe.engine.accelerator:
            return None
        return self._key("verdict", built=file, **self._judged)

    def _key(self, kind: str, **facts: Any) -> str:  # noqa: ANN401 (JSON values)
        return digest({"kind": kind, **self._ground, **facts})

    def get(self, kind: str, key: str | None, target: Path) -> dict[str, Any] | None:
        """What is known under a key, its files put into `target`; counted under `kind`."""
        if self._cache is None or key is None:
            return None
        found = self._cache.get(key, target)
        if found is not None:
            self.taken[kind] = self.taken.get(kind, 0) + 1
        return found

    def put(self, key: str | None, facts: Mapping[str, Any], files: Mapping[str, Path]) -> None:
        """Keep what a stage found."""
        if self._cache is not None and key is not None:
            self._cache.put(key, facts, files)

    @property
    def told(self) -> str:
        """What was taken from the cache, in words; empty when nothing was."""
        counts = [f"{count} x {kind}" for kind, count in self.taken.items()]
        return f"taken from the cache: {', '.join(counts)}; timed anew" if counts else ""


def kept(built: Mapping[str, Any], model: Executable) -> tuple[dict[str, Any], dict[str, Path]]:
    """What building said, and its files, in a form that does not depend on the scratch folder."""
    simulation = Path(built["simulation"]) if built["simulation"] else None
    files = [] if built["ineffective"] else [*model.files, *([simulation] if simulation else [])]
    told = {**built, "simulation": simulation.name if simulation else None}
    return told, {file.name: file for file in files}


def here(told: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """The reverse of `kept`, for files that were put into the folder."""
    simulation = told["simulation"]
    return {**told, "simulation": str(folder / simulation) if simulation else None}


def timeless(found: Mapping[str, Any]) -> bool:
    """Whether a verdict holds in another run: one that the quick look ended does not."""
    return (found.get("stopped") or {}).get("stage") != "look"


def without_look(found: Mapping[str, Any]) -> dict[str, Any]:
    """A verdict without its timing."""
    return {name: value for name, value in found.items() if name != LOOK}


def below(folder: Path) -> dict[str, Path]:
    """All files below a folder by their relative paths; none when it is not there."""
    return {str(file.relative_to(folder)): file for file in _files(folder)}


def model_digest(file: Path) -> str:
    """Of a model with its external data, where it is too large for one file."""
    return digest([file_digest(each) for each in Executable(file).files])


def folder_digest(folder: Path) -> str:
    """Of the names and contents of all files below a folder."""
    return digest({name: file_digest(file) for name, file in below(folder).items()})


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


@once
def installed() -> dict[str, Any]:
    """What computes here: this package's code, all installed packages, the processor."""
    packages = {each.metadata["Name"]: each.version for each in metadata.distributions()}
    code = {str(f.relative_to(_PACKAGE)): file_digest(f) for f in _PACKAGE.rglob("*.py")}
    return {
        "format": FORMAT,
        "code": digest(code),
        "python": machine.versions()["python"],
        "packages": packages,
        "processor": sorted(machine.cpu_flags()),
        "cpus": cpus(),
    }
