"""`tightship validate`: what the operator would say of resources in YAML files."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TextIO

import yaml

from tightship.api import names
from tightship.api.parse import SpecError, parse_model, parse_pool

_PARSERS: dict[str, Callable[[object], object]] = {
    names.OPTIMIZED_MODEL: parse_model,
    names.SERVING_POOL: parse_pool,
}


def main(arguments: Sequence[str]) -> int:
    """Check files; 0 when every resource in them is right."""
    parser = argparse.ArgumentParser(prog="tightship validate", description=__doc__)
    parser.add_argument(
        "-f",
        "--filename",
        action="append",
        required=True,
        help="a YAML file, or - for standard input; may be given several times",
    )
    found = [line for path in parser.parse_args(arguments).filename for line in _check(path)]
    for line, _ in found:
        sys.stdout.write(f"{line}\n")
    if not found:
        sys.stdout.write("nothing of ours is in these files\n")
    return 0 if found and all(right for _, right in found) else 1


def _check(path: str) -> Iterator[tuple[str, bool]]:
    """A line for each resource of ours in a file, and whether it is right."""
    try:
        if path == "-":
            yield from _documents("-", sys.stdin)
        else:
            with open(path, encoding="utf-8") as file:  # noqa: PTH123 (beside standard input)
                yield from _documents(path, file)
    except (OSError, UnicodeDecodeError) as error:
        yield f"{path}: cannot be read: {error}", False
    except yaml.YAMLError as error:
        yield f"{path}: not YAML: {' '.join(str(error).split())}", False


def _documents(path: str, file: TextIO) -> Iterator[tuple[str, bool]]:
    for document in yaml.safe_load_all(file):
        if isinstance(document, dict) and document.get("kind") in _PARSERS:
            yield _judge(path, document)


def _judge(path: str, resource: dict[str, Any]) -> tuple[str, bool]:
    kind = resource["kind"]
    metadata = resource.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    what = f"{path}: {kind} {name}"
    if resource.get("apiVersion") != names.API_VERSION:
        return f"{what}: apiVersion must be {names.API_VERSION}", False
    if not name:
        return f"{what}: metadata.name is missing", False
    try:
        _PARSERS[kind](resource.get("spec"))
    except SpecError as error:
        return f"{what}: {error}", False
    return f"{what}: valid", True
