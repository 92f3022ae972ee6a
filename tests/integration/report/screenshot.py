"""The picture of the report's page in docs.

`hack/run python -m tests.integration.report.screenshot` after a wanted change; look at it.
"""

import tempfile
from pathlib import Path

from tests.support import browser
from tests.support.cache import REPOSITORY
from tests.unit.report import golden

PAGE = golden.HERE / "golden" / "search.html"
PICTURE = REPOSITORY / "docs" / "reference" / "report.png"
_WIDTH, _HEIGHT = 1180, 1530  # the picture and the first candidates, below 200 kB


def main() -> None:
    """Write it anew."""
    with tempfile.TemporaryDirectory() as profile, browser.opened(PAGE, Path(profile)) as page:
        page.show(_WIDTH, _HEIGHT, dark=False)
        PICTURE.write_bytes(page.picture())


if __name__ == "__main__":
    main()
