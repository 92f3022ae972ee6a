"""The example's answer in every form: what it is, and how to write it anew.

`hack/run python -m tests.unit.whatif.golden` after a wanted change; look at the page in a browser.
"""

from pathlib import Path

from tests.support.cache import REPOSITORY

from tightship.cli import plan

HERE = Path(__file__).parent
EXAMPLE = REPOSITORY / "examples" / "plan"
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
    """Write all of them."""
    for form, text in rendered().items():
        file(form).parent.mkdir(exist_ok=True)
        file(form).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
