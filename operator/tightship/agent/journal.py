"""What survives the agent: the assignment, its fence, and which models were verified here."""

import json
import logging
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from tightship.api.agent import Assignment, Fence, ModelAssignment

_SCHEMA = 1
_FILE = "agent.json"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A model that Triton serves and that answered its golden samples."""

    assignment: ModelAssignment
    memory: int | None  # bytes, measured at load
    load_seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The journal's content."""

    fence: Fence = field(default_factory=lambda: Fence(0, 0))
    assignment: Assignment = field(default_factory=Assignment)
    verified: tuple[Served, ...] = ()
    restarts: int = 0


class Journal:
    """One JSON file, replaced as a whole; what was written before a power cut is still there."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _FILE
        self.record = self._read()

    def write(self, **changes: Any) -> None:  # noqa: ANN401 (fields of Record)
        """Replaces fields of the record; nothing is written when nothing differs.

        Raises:
            OSError: the volume is full or not writable; the old record stays in force.
        """
        record = replace(self.record, **changes)
        if record == self.record:
            return
        content = {"schema": _SCHEMA, **asdict(record), "assignment": record.assignment.to_json()}
        unnamed = self._path.with_suffix(".new")
        with unnamed.open("w") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        unnamed.replace(self._path)
        folder = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        self.record = record

    def needed(self) -> set[str]:
        """Digests of artifacts that must stay on disk."""
        assigned = {model.digest for model in self.record.assignment.models}
        return assigned | {served.assignment.digest for served in self.record.verified}

    def _read(self) -> Record:
        """The stored record; the empty one where there is none that this version can read."""
        try:
            return _record(json.loads(self._path.read_text()))
        except FileNotFoundError:
            return Record()
        except (ValueError, KeyError, TypeError) as error:
            log.warning("%s cannot be read (%s); the operator assigns anew", self._path, error)
            return Record()


def _record(raw: dict[str, Any]) -> Record:
    if raw["schema"] != _SCHEMA:
        raise ValueError(f"its schema is {raw['schema']}")
    return Record(
        fence=Fence(**raw["fence"]),
        assignment=Assignment.from_json(raw["assignment"]),
        verified=tuple(_served(item) for item in raw["verified"]),
        restarts=int(raw["restarts"]),
    )


def _served(raw: dict[str, Any]) -> Served:
    return Served(
        assignment=Assignment.from_json([raw["assignment"]]).models[0],
        memory=raw["memory"],
        load_seconds=raw["load_seconds"],
    )
