"""Titles and first sentences of documented functions, from pinned packages' source text."""

import ast
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from examples.models import packages

_PACKAGES = ("numpy", "onnx", "scipy", "sklearn")
_SHORTEST = 40
_LONGEST = 220


@dataclass(frozen=True, slots=True)
class Entry:
    """One public function or class: its package, its name in words, its first sentence."""

    package: str
    title: str
    summary: str


@cache
def entries() -> list[Entry]:
    """Every entry whose sentence is neither very short nor very long, each sentence once.

    The order is that of a hash, so that neighbours are not of one module.
    """
    by_summary = {entry.summary: entry for entry in _read()}
    return sorted(by_summary.values(), key=lambda e: hashlib.sha256(e.summary.encode()).digest())


def _read() -> Iterator[Entry]:
    for package in _PACKAGES:
        for path in sorted(packages.folder(package).rglob("*.py")):
            if "tests" not in path.parts:
                for node in ast.parse(path.read_bytes()).body:
                    if isinstance(node, ast.FunctionDef | ast.ClassDef):
                        yield from _entry(package, node)


def _entry(package: str, node: ast.FunctionDef | ast.ClassDef) -> Iterator[Entry]:
    documentation = ast.get_docstring(node) or ""
    summary = " ".join(documentation.split("\n\n")[0].split())
    if not node.name.startswith("_") and _SHORTEST < len(summary) < _LONGEST:
        words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", node.name).replace("_", " ").lower()
        yield Entry(package, f"{package} {words}", summary)
