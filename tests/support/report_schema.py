"""The published schema of report.json, which reports are held to."""

import json
from collections.abc import Mapping
from typing import Any

import jsonschema  # type: ignore[import-untyped]
from tests.support.cache import REPOSITORY

_SCHEMA = json.loads((REPOSITORY / "docs" / "reference" / "report.schema.json").read_text())


def validate(report: Mapping[str, Any]) -> None:
    """Holds a report to the schema.

    Raises:
        jsonschema.ValidationError: it does not follow it.
    """
    jsonschema.validate(report, _SCHEMA)
