"""`tightship report`: a report.json as one HTML file, or as Markdown for a pull request."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tightship.report import document, markdown, page
from tightship.report.document import Report
from tightship.report.reader import ReportError


def main(arguments: Sequence[str]) -> int:
    """Show a report; 1 when it cannot be read or written."""
    parser = argparse.ArgumentParser(prog="tightship report", description=__doc__)
    parser.add_argument("file", help="a report.json, or - for standard input")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write the page there")
    parser.add_argument(
        "--markdown", action="store_true", help="print Markdown; the default without --html"
    )
    given = parser.parse_args(arguments)
    try:
        report = read(given.file)
        if given.html is not None:
            given.html.write_text(page.page(report), encoding="utf-8")
        if given.markdown or given.html is None:
            sys.stdout.write(markdown.markdown(report))
    except ReportError as error:
        sys.stderr.write(f"tightship report: {given.file}: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"tightship report: {error.filename}: {error.strerror}\n")
        return 1
    return 0


def read(file: str) -> Report:
    """The report in a file.

    Raises:
        ReportError: no JSON, no report, or one of another schema.
        OSError: the file cannot be read.
    """
    content = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    try:
        value = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ReportError(
            f"not JSON ({error}). Name the report.json of an artifact or of tightship optimize."
        ) from error
    return document.read(value)
