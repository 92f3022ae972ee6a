"""Reading reports: of this schema, older ones of it, and what is none."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, strategies
from tests.support import report_schema
from tests.unit.report.documents import stored

from tightship.report import document, figures, markdown, page
from tightship.report.reader import ReportError

VALUES = strategies.one_of(
    strategies.none(),
    strategies.booleans(),
    strategies.integers(),
    strategies.floats(),
    strategies.text(max_size=5),
    strategies.lists(strategies.none(), max_size=2),
    strategies.dictionaries(strategies.text(max_size=3), strategies.none(), max_size=2),
)


def places(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:  # noqa: ANN401
    """Every place in a JSON value."""
    found = [path]
    if isinstance(value, dict):
        found += [p for key, item in value.items() for p in places(item, (*path, key))]
    if isinstance(value, list):
        found += [p for index, item in enumerate(value) for p in places(item, (*path, index))]
    return found


PLACES = [path for path in places(stored("magika")) if path]


def test_a_current_report_has_the_published_form() -> None:
    report_schema.validate(stored("magika"))


def test_what_was_measured_furthest_is_told() -> None:
    report = document.read(stored("magika"))
    assert {entry.id: figures.speed(entry) for entry in report.candidates} == {
        "dynamic-int8": "x1.04 (runtime)",
        "static-int8": "x1.77 (Triton)",
        "fp16": "x0.98 (runtime)",
        "prune-50": "x1.01 (quick look)",
        "prune-50+static-int8": figures.NONE,
    }
    assert report.chosen is not None
    assert report.chosen.id == "static-int8"


def test_every_demand_of_the_gate_is_told() -> None:
    found = stored("magika")
    found["gate"] |= {"worstValue": 0.9, "maxClassDrop": 0.05, "worstClassValue": 0.8}
    report_schema.validate(found)
    assert figures.allowed(document.read(found).gate) == (
        "drop of accuracy at most 0.01; no worse than 0.9; drop of any class' recall at most 0.05; "
        "recall of each class at least 0.8; at 95% confidence"
    )


def test_an_older_report_of_the_schema_is_readable() -> None:
    report = document.read(stored("digits"))
    assert report.chosen is None
    assert report.command == ()
    assert report.gate.worst_value is None
    assert report.gate.worst_class_value is None


@pytest.mark.parametrize("schema", [0, 2, "1", None, True, [1]])
def test_another_schema_is_refused(schema: object) -> None:
    with pytest.raises(ReportError, match="reads schema 1"):
        document.read({**stored("magika"), "schema": schema})


@pytest.mark.parametrize("value", [None, [], 1, "report", {}])
def test_what_is_no_report_is_refused(value: object) -> None:
    with pytest.raises(ReportError):
        document.read(value)


def test_a_refusal_names_the_place() -> None:
    report = stored("magika")
    report["candidates"][2]["gate"]["n"] = "many"
    with pytest.raises(ReportError, match="the report, candidates, 2, gate, n: a number"):
        document.read(report)


@given(place=strategies.sampled_from(PLACES), value=VALUES)
def test_one_wrong_value_is_shown_or_refused(place: tuple[str | int, ...], value: object) -> None:
    report = stored("magika")
    holder: Any = report
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = value
    with suppress(ReportError):
        read = document.read(report)
        page.page(read).encode()
        markdown.markdown(read).encode()
