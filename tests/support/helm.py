"""The chart, rendered and checked by the real Helm."""

import functools
import json
import subprocess
from typing import Any

import yaml
from tests.support.cache import REPOSITORY
from tests.support.tools import tool

CHART = REPOSITORY / "charts" / "tightship"
Object = dict[str, Any]


class HelmError(RuntimeError):
    """Helm refused; the text is what it said."""


def helm(*arguments: str, values: Object | None = None) -> str:
    """Run Helm with values on its standard input; what it printed."""
    command = [tool("helm"), *arguments, *(("--values", "-") if values is not None else ())]
    given = json.dumps(values) if values is not None else None
    done = subprocess.run(command, input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HelmError(done.stdout + done.stderr)
    return done.stdout


def render(values: Object | None = None, *flags: str) -> list[Object]:
    """Objects of an installation in namespace tightship-system."""
    return list(_render(json.dumps(values or {}, sort_keys=True), flags))


@functools.cache
def _render(values: str, flags: tuple[str, ...]) -> tuple[Object, ...]:
    namespace = ("--namespace", "tightship-system")
    text = helm("template", "tightship", str(CHART), *namespace, *flags, values=json.loads(values))
    return tuple(value for value in yaml.safe_load_all(text) if value)


def find(objects: list[Object], kind: str, name: str | None = None) -> list[Object]:
    """Objects of a kind, of a name where one is given."""
    return [
        value
        for value in objects
        if value["kind"] == kind and name in (None, value["metadata"]["name"])
    ]
