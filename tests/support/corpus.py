"""Bad resources in tests/corpus/manifests: who refuses each, and what it says."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tests.support.cache import REPOSITORY

FOLDER = REPOSITORY / "tests" / "corpus" / "manifests"


@dataclass(frozen=True)
class BadManifest:
    """One file. The head of comments says what to expect.

    `refused_by` is "api-server", or "status" for what only the operator can know; `says` is a part
    of the message, `reason` the status' reason. A file may hold what the case needs beside it.
    """

    path: Path
    refused_by: str
    says: str
    reason: str | None

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def documents(self) -> list[dict[str, Any]]:
        return list(yaml.safe_load_all(self.path.read_text()))

    @property
    def resource(self) -> dict[str, Any]:
        """The resource that is refused: the last one of the file."""
        return self.documents[-1]


def manifests(refused_by: str | None = None) -> list[BadManifest]:
    """All files, or those that one of the two refuses."""
    found = [_read(path) for path in sorted(FOLDER.glob("*.yaml"))]
    return [case for case in found if refused_by in (None, case.refused_by)]


def _read(path: Path) -> BadManifest:
    head = {}
    for line in path.read_text().splitlines():
        if not line.startswith("# "):
            break
        name, _, text = line.removeprefix("# ").partition(": ")
        head[name] = text
    return BadManifest(path, head["refused by"], head["says"], head.get("reason"))
