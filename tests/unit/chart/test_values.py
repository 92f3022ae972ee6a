"""values.yaml and values.schema.json: every value documented, everything else refused.

The schema's pool is that of the CRD; `python -m tests.unit.chart.test_values` writes it anew.
"""

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from tests.support import documents, schemas
from tests.support.helm import CHART, HelmError, render

_SCHEMA = CHART / "values.schema.json"


def pool_definition() -> dict[str, Any]:
    pool = schemas.strict(schemas.of_crd("servingpools", "spec"))
    pool["properties"] = {"namespace": {"$ref": "#/definitions/namespace"}, **pool["properties"]}
    pool["required"] = ["namespace", *pool["required"]]
    return pool


def _schema() -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(_SCHEMA.read_text())
    return schema


def _objects(node: object, at: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield at, node
        for name, inner in node.items():
            yield from _objects(inner, f"{at}/{name}")


def _values(node: dict[str, Any], at: str = "") -> Iterator[str]:
    for name, value in node.items():
        yield f"{at}{name}"
        if isinstance(value, dict):
            yield from _values(value, f"{at}{name}.")


def test_the_pool_is_that_of_the_crd() -> None:
    assert _schema()["definitions"]["pool"] == pool_definition()


def test_every_object_of_the_schema_is_closed() -> None:
    for place, node in _objects(_schema()):
        passed_through = "description" in node and "properties" not in node
        assert passed_through or "additionalProperties" in node, place
        assert node.get("additionalProperties") is not True, place


def test_every_value_is_in_the_schema() -> None:
    schema = _schema()
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    for name in _values({k: v for k, v in values.items() if k != "sloClasses"}):
        node = schema
        for part in name.split("."):
            if "$ref" in node:
                break  # names below are the user's
            node = node["properties"][part]


def test_every_value_is_documented() -> None:
    lines = (CHART / "values.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        bare = line.strip()
        if not bare or bare.startswith("#") or ":" not in bare or bare.endswith(":"):
            continue
        if line.startswith((" " * 4, "  requests", "  limits", "  Interactive", "  Batch")):
            continue  # inside a value that is documented as a whole
        above = itertools.takewhile(lambda text: text.strip().startswith("#"), lines[:number][::-1])
        assert any(text.strip().startswith("# -- ") for text in above), line


def pools(**pool: object) -> dict[str, Any]:
    return {"pools": {"shared": {"namespace": "models", **documents.MINIMAL_POOL, **pool}}}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown value": ({"image": {"name": "x"}}, "name"),
    "unknown top-level value": ({"pool": {}}, "pool"),
    "three replicas": ({"replicas": 3}, "replicas"),
    "wrong log level": ({"settings": {"logLevel": "loud"}}, "logLevel"),
    "digest without algorithm": ({"image": {"digest": "abc"}}, "digest"),
    "pool without namespace": ({"pools": {"shared": documents.MINIMAL_POOL}}, "namespace"),
    "pool with unknown field": (pools(maxServer=2), "maxServer"),
    "pool with a number as size": (
        pools(accelerator={"resourceName": "a/b", "memory": 1.5}),
        "memory",
    ),
    "pool without agent image": (pools(server={"image": "a"}), "agentImage"),
    "pool with a long name": ({"pools": {"x" * 41: pools()["pools"]["shared"]}}, "x" * 41),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    values, named = REFUSED[case]
    with pytest.raises(HelmError, match=named):
        render(values)


if __name__ == "__main__":
    written = _schema()
    written["definitions"]["pool"] = pool_definition()
    _SCHEMA.write_text(json.dumps(written, indent=2) + "\n")
