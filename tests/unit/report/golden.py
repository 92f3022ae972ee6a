"""The stored reports' pages and Markdown: what they are, and how to write them anew.

`hack/run python -m tests.unit.report.golden` after a wanted change; look at the pages in a browser.
"""

import json
from pathlib import Path

from tightship.report import document, markdown, page

HERE = Path(__file__).parent
REPORTS = {file.stem: file for file in sorted((HERE / "reports").glob("*.json"))}


def rendered(name: str) -> dict[Path, str]:
    """What the stored report should look like, by the file that holds it."""
    report = document.read(json.loads(REPORTS[name].read_text()))
    return {
        HERE / "golden" / f"{name}.html": page.page(report),
        HERE / "golden" / f"{name}.md": markdown.markdown(report),
    }


def main() -> None:
    """Write all of them."""
    for name in REPORTS:
        for file, text in rendered(name).items():
            file.parent.mkdir(exist_ok=True)
            file.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
