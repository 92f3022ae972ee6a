"""Finds NAME in FILE.py, code of the user's: the one place where such a file is imported."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

from tightship.optimize.failures import Reason, RefusalError

SUFFIX = ".py"


def split(entry: str) -> tuple[str, str] | None:
    """(FILE.py, NAME) of FILE.py:NAME; None where it is of another form."""
    file, colon, name = entry.rpartition(":")
    return (file, name) if colon and name.isidentifier() and file.endswith(SUFFIX) else None


def module(folder: Path, file: str, what: str, reason: Reason) -> Any:  # noqa: ANN401 (a module)
    """The user's module in `file` below `folder`; `what` is its part, for messages.

    Raises:
        RefusalError: there is no such file; for that `reason`.
        Exception: whatever the user's code raises.
    """
    path = folder / file
    if not path.is_file():
        raise RefusalError(reason, f"The {what} file {file} does not exist. Check the path.")
    name = f"tightship_{what}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RefusalError(reason, f"The {what} file {file} cannot be read as Python")
    sys.path.insert(0, str(path.resolve().parent))  # what lies beside it can be imported
    made = importlib.util.module_from_spec(spec)
    sys.modules[name] = made
    spec.loader.exec_module(made)
    return made


def named(found: Any, name: str, what: str, reason: Reason) -> Any:  # noqa: ANN401 (a user's)
    """What a user's module calls `name`.

    Raises:
        RefusalError: it has no such name; for that `reason`.
    """
    if not hasattr(found, name):
        told = f"The {what} file has no '{name}'. Name a class, a function or an object in it."
        raise RefusalError(reason, told)
    return getattr(found, name)
