"""The journal: what was written is there after a restart, what cannot be read is no assignment."""

import os
from pathlib import Path

import pytest

from tightship.agent.journal import Journal, Record, Served
from tightship.api.agent import Assignment, Fence, ModelAssignment, ServingConfig


def _model(name: str, digest: str = "d" * 64) -> ModelAssignment:
    config = ServingConfig(instances=2, response_cache=True)
    return ModelAssignment(name=name, key="a" * 64, digest=digest, memory=7, config=config)


def test_an_empty_folder_holds_the_empty_record(tmp_path: Path) -> None:
    assert Journal(tmp_path).record == Record()


def test_a_record_survives(tmp_path: Path) -> None:
    served = Served(assignment=_model("one"), memory=None, load_seconds=0.5)
    Journal(tmp_path).write(
        fence=Fence(3, 4),
        assignment=Assignment((_model("one"), _model("two"))),
        verified=(served,),
        restarts=2,
    )
    assert Journal(tmp_path).record == Record(
        fence=Fence(3, 4),
        assignment=Assignment((_model("one"), _model("two"))),
        verified=(served,),
        restarts=2,
    )


def test_other_fields_stay(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(fence=Fence(1, 1))
    journal.write(restarts=1)
    assert Journal(tmp_path).record == Record(fence=Fence(1, 1), restarts=1)


def test_nothing_is_written_when_nothing_differs(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(restarts=1)
    before = (tmp_path / "agent.json").stat()
    journal.write(restarts=1)
    after = (tmp_path / "agent.json").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_failed_write_leaves_the_old_record(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.write(restarts=1)
    os.mkdir(tmp_path / "agent.new")  # noqa: PTH102 (a folder where the new file would be)
    with pytest.raises(IsADirectoryError):
        journal.write(restarts=2)
    assert journal.record.restarts == 1
    assert Journal(tmp_path).record.restarts == 1


@pytest.mark.parametrize("content", ["", "{", '{"schema": 99}', "[]"])
def test_what_cannot_be_read_is_no_record(tmp_path: Path, content: str) -> None:
    (tmp_path / "agent.json").write_text(content)
    assert Journal(tmp_path).record == Record()


def test_artifacts_of_assigned_and_served_models_are_needed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    old = Served(assignment=_model("one", "e" * 64), memory=1, load_seconds=1.0)
    journal.write(assignment=Assignment((_model("one"),)), verified=(old,))
    assert journal.needed() == {"d" * 64, "e" * 64}
