"""Finds NAME in FILE.py, code of the user's: the one place where it is imported."""

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


def find(folder: Path, entry: str, what: str) -> Any:  # noqa: ANN401 (a user's object)
    """The object that FILE.py:NAME below `folder` names; `what` is its part, for messages.

    Raises:
        RefusalError: there is no such file or name.
        Exception: whatever the user's code raises.
    """
    parts = split(entry)
    if parts is None:
        raise _invalid(what, f"is given as '{entry}'; it has to be FILE.py:NAME")
    file, name = parts
    module = _module(folder / file, what)
    if not hasattr(module, name):
        raise _invalid(what, f"file has no '{name}'. Name a class, a function or an object in it.")
    return getattr(module, name)


def _module(path: Path, what: str) -> Any:  # noqa: ANN401 (a user's module)
    if not path.is_file():
        raise _invalid(what, f"file {path.name} does not exist. Check the path.")
    name = f"tightship_{what}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise _invalid(what, f"file {path.name} cannot be read as Python")
    sys.path.insert(0, str(path.resolve().parent))  # what lies beside it can be imported
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _invalid(what: str, message: str) -> RefusalError:
    return RefusalError(Reason.INVALID_REQUEST, f"The {what} {message}")
