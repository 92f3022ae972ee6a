"""`tightship slices`: the example's plan, and one line for what it cannot read."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.support.cache import REPOSITORY

from tightship.api.fields import SpecError
from tightship.cli import command, slices, slices_file

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLE = REPOSITORY / "examples" / "slices" / "models.yaml"
POINT = {"batch": 8, "rate": 100, "latency": "20ms"}
MODEL = {"name": "a", "rate": 50, "latency": "100ms", "points": {"1g.10gb": [POINT]}}
FILE: dict[str, Any] = {"accelerator": "H100-80GB", "models": [MODEL]}


def test_two_models_a_slice_save_a_device_of_the_example(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert command.main(["slices", "--filename", str(EXAMPLE)]) == 0
    shared = capsys.readouterr().out
    assert shared.endswith("\n1 x A100-80GB: the fewest by these measurements\n")
    assert command.main(["slices", "--filename", str(EXAMPLE), "--alone"]) == 0
    assert "\n2 x A100-80GB: the fewest" in capsys.readouterr().out


def test_the_table_tells_who_is_where(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(yaml.safe_dump(FILE)))
    assert slices.main(["-f", "-"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split() for line in lines[:2]] == [
        ["DEVICE", "SLICE", "SLOT", "MODELS"],
        ["0", "1g.10gb", "0", "a", "(batch", "8", "x", "1,", "100/s)"],
    ]
    assert lines[2].split() == ["0", "1g.10gb", "1", "spare"]


def test_json_has_the_whole_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    slow = {**MODEL, "name": "slow", "latency": "40ms"}
    file = tmp_path / "models.yaml"
    file.write_text(yaml.safe_dump({**FILE, "models": [MODEL, slow]}))
    assert slices.main(["-f", str(file), "-o", "json"]) == 3
    told = json.loads(capsys.readouterr().out)
    assert told["refused"] == {
        "slow": "a batch takes 20 ms at the least and may take 18 ms: allow more latency"
    }
    assert (told["accelerator"], told["bound"], len(told["devices"])) == ("H100-80GB", 1, 1)
    assert told["devices"][0]["slices"][0] == {
        "profile": "1g.10gb",
        "slot": 0,
        "models": [{"name": "a", "batch": 8, "processes": 1, "turns": 1, "rate": 100.0}],
    }


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("[", "not YAML: "),
        ({"accelerator": "T4"}, "file.accelerator: must be one of A30-24GB, A100-40GB"),
        ({"models": []}, "file.models: must have a model"),
        ({"models": [MODEL, MODEL]}, "file.models: a is there twice: add up its rates"),
        ({"more": 1}, "file.more: is not a field of this resource"),
        ({"models": [{**MODEL, "rate": 0}]}, "file.models[0].rate: must be a number of items a"),
        ({"models": [{**MODEL, "rate": "5"}]}, "file.models[0].rate: must be a number of items a"),
        ({"models": [{**MODEL, "latency": "5"}]}, "file.models[0].latency: must be a duration"),
        ({"models": [{**MODEL, "points": {"9g": []}}]}, "file.models[0].points: must be one of 1g"),
        (
            {"models": [{**MODEL, "points": {"1g.10gb": [{**POINT, "batch": 0}]}}]},
            "file.models[0].points.1g.10gb[0].batch: must be a whole number from 1 to 65536",
        ),
    ],
)
def test_a_wrong_file_is_a_sentence(change: str | dict[str, object], told: str) -> None:
    text = change if isinstance(change, str) else yaml.safe_dump({**FILE, **change})
    with pytest.raises(SpecError) as caught:
        slices_file.read(text)
    assert str(caught.value).startswith(told)


def test_a_file_that_cannot_be_read_is_told_on_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad, none = tmp_path / "bad.yaml", tmp_path / "none.yaml"
    bad.write_text("accelerator: T4")
    assert slices.main(["-f", str(bad)]) == 1
    assert slices.main(["-f", str(none)]) == 1
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith(f"tightship slices: {bad}: file.accelerator: must be one of")
    assert told[1] == f"tightship slices: {none}: No such file or directory"
