"""`tightship report`: a page, Markdown, and one line for what it cannot read."""

import io
import json
from pathlib import Path

import pytest
from tests.unit.report import golden
from tests.unit.report.documents import stored

from tightship.cli import command
from tightship.cli import report as cli

MAGIKA = golden.REPORTS["magika"]
EXPECTED = {file.suffix: text for file, text in golden.rendered("magika").items()}


def test_markdown_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["report", str(MAGIKA)]) == 0
    assert capsys.readouterr() == (EXPECTED[".md"], "")


@pytest.mark.parametrize(("options", "shown"), [([], ""), (["--markdown"], EXPECTED[".md"])])
def test_the_page_is_written_where_it_is_asked_for(
    options: list[str], shown: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "report.html"
    assert cli.main([str(MAGIKA), "--html", str(target), *options]) == 0
    assert target.read_text(encoding="utf-8") == EXPECTED[".html"]
    assert capsys.readouterr().out == shown


def test_a_report_may_come_from_a_pipe(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(json.dumps(stored("magika")).encode()))
    monkeypatch.setattr("sys.stdin", stream)
    assert cli.main(["-"]) == 0
    assert capsys.readouterr().out == EXPECTED[".md"]


REFUSED = {
    "no JSON": (b"<html>", "not JSON"),
    "not UTF-8": (b"\xff\xfe\xfd", "not JSON"),
    "nested without end": (b"[" * 200_000, "not JSON"),
    "another schema": (b'{"schema": 7}', "the report's schema is 7"),
    "another file": (b'{"schema": 1, "files": {}}', "no report.json of schema 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_is_one_line(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, told = REFUSED[name]
    file = tmp_path / "report.json"
    file.write_bytes(content)
    assert cli.main([str(file)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert told in shown.err
    assert shown.err.count("\n") == 1


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([str(tmp_path / "no.json")]) == 1
    assert "no.json: No such file" in capsys.readouterr().err
