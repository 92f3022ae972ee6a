"""Renders docs/benchmarks.md, and its picture, from benchmarks/results/*.json."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import curves
from benchmarks.record import FOLDER, RESULTS

PAGE = FOLDER.parent / "docs" / "benchmarks.md"
GROWTH = "design/packing-growth.svg"
"""Beside the page."""

_HEAD = """# Benchmarks

Written by `make bench-report` from `benchmarks/results/*.json`; targets are in
`benchmarks/budgets.yaml`. Missed ones are shown too. README and docs quote this page only.
"""
_NOTHING = "No run is recorded yet: `make bench-line` makes the first.\n"
_MARKS = {True: "met", False: "**missed**", None: ""}


def main() -> int:
    """Writes the page and the picture."""
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]
    sections = [text for result in results for text in _section(result)]
    PAGE.write_text("\n".join([_HEAD, *(sections or [_NOTHING])]))
    sys.stdout.write(
        f"{PAGE.relative_to(Path.cwd()) if PAGE.is_relative_to(Path.cwd()) else PAGE}\n"
    )
    return 0


def _section(result: dict[str, Any]) -> Iterator[str]:
    yield f"## {result['bench']}\n"
    yield (
        f"`{result['command']}` took {result['seconds']:.0f} s at commit {result['commit']}"
        f" on {result['machine']}.\n"
    )
    for run in result.get("later", ()):
        took = f"took {run['seconds']:.0f} s at commit {run['commit']}"
        yield f"Later `{run['command']}` {took}, and its figures are these.\n"
    yield "| figure | value | spread | target | | note |\n|---|---|---|---|---|---|"
    for figure in result["figures"]:
        value = f"{figure['value']:.4g} {figure['unit']}"
        cells = (
            figure["name"],
            value,
            figure["spread"],
            figure["target"],
            _MARKS[figure["ok"]],
            figure["note"],
        )
        yield _line(cells)
    yield ""
    picture = curves.growth(result["figures"])
    if picture is not None:
        (PAGE.parent / GROWTH).write_text(picture)
        yield f"![Seconds of a plan by number of models]({GROWTH})\n"
    for table in result.get("tables", ()):
        yield f"### {table['title']}\n"
        yield _line(table["columns"])
        yield "|" + "---|" * len(table["columns"])
        yield from map(_line, table["rows"])
        yield ""


def _line(cells: Iterable[object]) -> str:
    """A line of a Markdown table."""
    told = (str(cell or "").replace("|", "\\|") for cell in cells)
    return f"| {' | '.join(told)} |"


if __name__ == "__main__":
    sys.exit(main())
