"""The page and the Markdown of reports: the stored ones, and ones whose every text is hostile."""

import html.parser
import re
from itertools import pairwise

import pytest
from hypothesis import given
from tests.unit.report import golden
from tests.unit.report.documents import HOSTILE, NUMBERS, TEXTS, renumbered, retold, stored

from tightship.report import document, markdown, markup, page

_MARKDOWN_LINES = 25
_LOADING = {"src", "href", "action", "data", "srcset", "poster", "background", "style"}


class Structure(html.parser.HTMLParser):
    """The page's elements as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.other: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    def handle_pi(self, data: str) -> None:
        self.other.append(data)


def structure(text: str) -> Structure:
    found = Structure()
    found.feed(text)
    found.close()
    assert found.open == []
    return found


@pytest.mark.parametrize("name", golden.REPORTS)
def test_stored_reports_look_as_they_did(name: str) -> None:
    for file, text in golden.rendered(name).items():
        assert text == file.read_text(encoding="utf-8"), (
            "wanted? hack/run python -m tests.unit.report.golden"
        )


@pytest.mark.parametrize("name", golden.REPORTS)
def test_the_page_loads_and_runs_nothing(name: str) -> None:
    found = structure(page.page(document.read(stored(name))))
    assert not {"script", "link", "img", "iframe", "object", "a"} & set(found.elements)
    names = {attribute for attribute, _ in found.attributes}
    assert not names & _LOADING
    assert not [attribute for attribute in names if attribute.startswith("on")]
    assert ("http-equiv", "Content-Security-Policy") in found.attributes
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'") in found.attributes
    assert "url(" not in page.page(document.read(stored(name)))


@pytest.mark.parametrize("name", golden.REPORTS)
def test_the_page_can_be_heard(name: str) -> None:
    found = structure(page.page(document.read(stored(name))))
    counts = {element: found.elements.count(element) for element in ("h1", "main", "table", "svg")}
    assert counts["h1"] == counts["main"] == counts["svg"] == 1
    assert found.elements.count("caption") == counts["table"]
    assert ("lang", "en") in found.attributes
    assert ("role", "img") in found.attributes
    headings = [int(e[1]) for e in found.elements if re.fullmatch("h[1-6]", e)]
    assert all(after - before <= 1 for before, after in pairwise(headings))


def test_every_candidate_has_its_place_and_reason() -> None:
    report = document.read(stored("magika"))
    shown, told = page.page(report), markdown.markdown(report)
    for entry in report.candidates:
        assert markup.escaped(entry.id) in shown
        assert markup.escaped(entry.reason) in shown
        assert f"| {entry.id} |" in told or f"| **{entry.id}** |" in told
    assert "minSpeedup x1.05" in shown
    assert "gate: bound at most 0.01" in shown
    assert "tightship optimize MODEL" in shown


def test_code_of_the_users_that_took_part_is_told() -> None:
    raw = stored("digits")
    assert "code of the metric" not in page.page(document.read(raw))
    code = {"entrypoint": "metric.py:near", "storageUri": "s3://code/m.tgz", "sha256": "ab" * 32}
    raw |= {"ownMetric": code, "trainer": {"entrypoint": "train:T", "sha256": None}}
    shown = page.page(document.read(raw))
    assert f"metric.py:near from s3://code/m.tgz, sha256 {'ab' * 32}" in shown
    assert "train:T, sha256 not pinned" in shown


def test_where_a_request_spends_its_time_is_told() -> None:
    raw = stored("magika")
    assert "of a request" not in page.page(document.read(raw))
    raw["triton"]["stages"] = {"queue": 0.0001, "input": 0.00002, "model": 0.0044, "output": 0.0}
    shown = page.page(document.read(raw))
    assert "of a request input 0.02 ms, model 4.4 ms, output 0 ms, queue 0.1 ms" in shown


def test_a_loss_off_the_scale_is_told() -> None:
    report = stored("magika")
    report["candidates"][3]["gate"].update(drop=0.9, lower=0.88, upper=0.92)
    assert "prune-50 (loss 0.9000)" in page.page(document.read(report))


@given(texts=TEXTS)
def test_no_text_of_a_report_becomes_markup(texts: list[str]) -> None:
    plain = structure(page.page(document.read(retold(stored("magika"), ["word"]))))
    shown = page.page(document.read(retold(stored("magika"), texts)))
    found = structure(shown)
    assert set(found.elements) <= set(plain.elements)
    assert {name for name, _ in found.attributes} <= {name for name, _ in plain.attributes}
    assert found.other == []
    shown.encode()


@given(text=HOSTILE)
def test_text_and_attributes_are_escaped(text: str) -> None:
    assert not re.search("[<>]", markup.tag("p", text)[len("<p>") : -len("</p>")])
    assert not re.search("[<>\"']", markup.tag("p", title=text)[len('<p title="') : -len('"></p>')])


@given(texts=TEXTS)
def test_markdown_keeps_its_lines_and_columns(texts: list[str]) -> None:
    report = retold(stored("magika"), texts)
    report["candidates"] = report["candidates"] * 3
    report["warnings"] = texts * 9
    told = markdown.markdown(document.read(report))
    assert told.count("\n") <= _MARKDOWN_LINES
    rows = [line for line in told.split("\n") if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)(?:\\\\)*\|", row)) for row in rows} == {7}
    told.encode()


@given(text=HOSTILE)
def test_markdown_text_stays_text(text: str) -> None:
    told = markdown.text(text)
    assert "\n" not in told
    assert not re.search(r"(?<!\\)(?:\\\\)*[<`\[\]|*_!]", told)
    assert not re.search(r"://|@\w|www\.", told)


@given(numbers=NUMBERS)
def test_any_numbers_can_be_drawn(numbers: list[float]) -> None:
    report = document.read(renumbered(stored("magika"), numbers))
    shown = page.page(report)
    structure(shown)
    assert page.page(report) == shown
    assert not re.search(r'(?:[xy][12]?|cx|cy)="(?:nan|-?inf)', shown)
    markdown.markdown(report)
