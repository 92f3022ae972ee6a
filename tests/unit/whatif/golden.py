"""The example's answer in every form: what it is, and how to write it anew.

`hack/run python -m tests.unit.whatif.golden` after a wanted change, then `hack/run python -m
tests.integration.report.screenshot`; look at the page in a browser.
"""

from pathlib import Path

from tests.support.cache import REPOSITORY

from tightship.cli import plan

HERE = Path(__file__).parent
EXAMPLE = REPOSITORY / "examples" / "plan"
PAGE = REPOSITORY / "docs" / "plan.md"
_FENCE, _SHOWN = "```", "With the files of"
FORMS = {"table": "txt", "json": "json", "html": "html", "svg": "svg"}
OPTIONS = [
    "-f", "examples/plan/models.yaml", "--pool", "examples/plan/pool.yaml",
    "--profiles", "examples/plan/profiles", "--traffic", "examples/plan/traffic.yaml",
    "--price", "3.50",
]  # fmt: skip
"""Relative to the repository's root."""


def file(form: str) -> Path:
    """Where a form is stored."""
    return HERE / "golden" / f"example.{FORMS[form]}"


def rendered() -> dict[str, str]:
    """The example's answer in every form; the present folder is the repository's root."""
    answer = plan.answered(plan.parser().parse_args(OPTIONS))
    return {form: plan.OUTPUTS[form](answer) for form in FORMS}


def main() -> None:
    """Write all of them, and the table into the documentation."""
    found = rendered()
    for form, text in found.items():
        file(form).parent.mkdir(exist_ok=True)
        file(form).write_text(text, encoding="utf-8")
    page = PAGE.read_text(encoding="utf-8")
    start = page.index(f"{_FENCE}\n", page.index(_SHOWN)) + len(_FENCE) + 1
    end = page.index(_FENCE, start)
    PAGE.write_text(page[:start] + found["table"] + page[end:], encoding="utf-8")


if __name__ == "__main__":
    main()
