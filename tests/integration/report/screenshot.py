"""The pictures of pages in docs: the report's and the plan's.

`hack/run python -m tests.integration.report.screenshot` after a wanted change; look at them.
"""

import tempfile
from pathlib import Path
from typing import NamedTuple

from tests.support import browser
from tests.support.cache import REPOSITORY
from tests.unit.report import golden
from tests.unit.whatif import golden as plan


class Shot(NamedTuple):
    """A page, how much of it is taken, and where the picture goes."""

    page: Path
    width: int
    height: int
    picture: Path


SHOTS = (
    # the picture and the first candidates, below 200 kB
    Shot(
        golden.HERE / "golden" / "search.html",
        1180,
        1530,
        REPOSITORY / "docs" / "reference" / "report.png",
    ),
    Shot(plan.file("html"), 1180, 1180, REPOSITORY / "docs" / "plan.png"),
)


def main() -> None:
    """Write them anew."""
    for shot in SHOTS:
        with (
            tempfile.TemporaryDirectory() as profile,
            browser.opened(shot.page, Path(profile)) as page,
        ):
            page.show(shot.width, shot.height, dark=False)
            shot.picture.write_bytes(page.picture())


if __name__ == "__main__":
    main()
