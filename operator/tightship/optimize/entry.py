"""Finds NAME in FILE.py or MODULE, code of the user's: the one place where such code is imported.

FILE.py:NAME and MODULE:NAME may lie deeper, below folders: FOLDER/FILE.py:NAME. What lies beside
the file, or beside the module's first part, can be imported by it.
"""

import importlib
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tightship.optimize.failures import Reason, RefusalError

FORMS = "FILE.py:NAME or MODULE:NAME"
_SUFFIX = ".py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What such code is for, and how its refusals are called."""

    what: str
    invalid: Reason
    untrusted: Reason
    instead: str  # what to do where it may not run

    def refusal(self, message: str) -> RefusalError:
        """Of what the code is or does."""
        return RefusalError(self.invalid, f"The {self.what} {message}")


TRAINER = Part(
    what="trainer",
    invalid=Reason.INVALID_TRAINER,
    untrusted=Reason.UNTRUSTED_TRAINER,
    instead="leave the trainer out",
)
METRIC = Part(
    what="metric",
    invalid=Reason.INVALID_METRIC,
    untrusted=Reason.UNTRUSTED_METRIC,
    instead="name one of the metrics that are built in",
)


def split(entry: str) -> tuple[str, str] | None:
    """(FILE.py or MODULE, NAME), each with the folders before it; None for another form."""
    place, colon, name = entry.rpartition(":")
    last = place.rpartition("/")[2]
    module = all(part.isidentifier() for part in last.split("."))
    fits = colon and name.isidentifier() and (module or last.endswith(_SUFFIX))
    return (place, name) if fits else None


def kind(place: str) -> str:
    """What it is, in words."""
    return "file" if place.endswith(_SUFFIX) else "module"


def basename(entry: str) -> str:
    """How the file is most likely called that the entry names: a package's is another one."""
    place = Path((split(entry) or (entry, ""))[0]).name
    return place if place.endswith(_SUFFIX) else f"{place.rpartition('.')[2]}{_SUFFIX}"


def below(entry: str) -> tuple[Path, str] | None:
    """(folder, the entry below it), for the command line; None for another form."""
    parts = split(entry)
    if parts is None:
        return None
    place = Path(parts[0])
    return place.parent, f"{place.name}:{parts[1]}"


def file(folder: Path, place: str) -> Path | None:
    """The file that FILE.py or MODULE below a folder is read from; None where there is none."""
    path = folder / place
    if path.name.endswith(_SUFFIX):
        return path if path.is_file() else None
    module = path.parent.joinpath(*path.name.split("."))
    files = (module.with_name(f"{module.name}{_SUFFIX}"), module / "__init__.py")
    return next((each for each in files if each.is_file()), None)


def load(part: Part, folder: Path, entry: str) -> Any:  # noqa: ANN401 (a user's object)
    """What the entry below `folder` names.

    Raises:
        RefusalError: there is no such file or name, or the entry is of another form.
        Exception: whatever the user's code raises.
    """
    parts = split(entry)
    if parts is None:
        raise part.refusal(f"is given as '{entry}'; it has to be {FORMS}")
    place, name = parts
    found = file(folder, place)
    if found is None:
        told = f"{kind(place)} {place} does not exist below its folder. Check the path."
        raise part.refusal(told)
    made = _alone(part, found) if place.endswith(_SUFFIX) else _module(part, folder / place, found)
    if not hasattr(made, name):
        told = f"file has no '{name}'. Name a class, a function or an object in it."
        raise part.refusal(told)
    return getattr(made, name)


def _alone(part: Part, path: Path) -> Any:  # noqa: ANN401 (a user's module)
    """The file by itself, under a name that nothing else has."""
    name = f"tightship_{part.what}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise part.refusal(f"file {path.name} cannot be read as Python")
    sys.path.insert(0, str(path.resolve().parent))
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


def _module(part: Part, path: Path, expected: Path) -> Any:  # noqa: ANN401 (a user's module)
    """What `import` makes of it: modules of a package may import one another."""
    sys.path.insert(0, str(path.parent.resolve()))
    made = importlib.import_module(path.name)
    if Path(made.__file__ or "").resolve() != expected.resolve():
        raise part.refusal(
            f"module {path.name} has the name of a module that Python has already. Rename it, or "
            f"name its file: {expected.name}:NAME."
        )
    return made
