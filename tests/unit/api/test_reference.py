"""docs/reference says what the CRDs and the chart say.

`python -m tests.unit.api.test_reference` writes it anew.
"""

from pathlib import Path

import pytest
from tests.support import reference

PAGES = reference.pages()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_page_is_up_to_date(path: Path) -> None:
    assert path.read_text() == PAGES[path]


def test_every_field_has_a_meaning() -> None:
    for page in PAGES.values():
        assert "|  |\n" not in page


if __name__ == "__main__":
    for page, text in PAGES.items():
        page.write_text(text)
