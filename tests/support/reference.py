"""Renders docs/reference: fields of the resources, reasons in a status, values of the chart."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from tests.support.cache import REPOSITORY
from tests.support.helm import CHART
from tests.support.schemas import of_crd

from tightship.api.conditions import DESCRIPTIONS, LIMITATIONS
from tightship.api.reasons import JOB_FAILURES, LOAD_FAILURES, Meaning

FOLDER = REPOSITORY / "docs" / "reference"
_Schema = Mapping[str, Any]

_KINDS = {"optimizedmodels": "OptimizedModel", "servingpools": "ServingPool"}
_API_HEAD = """# Fields of OptimizedModel and ServingPool

Made from `crds/` by `python -m tests.unit.api.test_reference`. API group `tightship.dev/v1alpha1`.
Both kinds are namespaced; a model, its pool, their Jobs and Secrets live in one namespace. Names of
both are a lower-case letter, then letters, digits and -, at most 40 characters.

Durations are written as in Go (`50ms`, `1m30s`), sizes and cores as Kubernetes quantities (`512Mi`,
`500m`), other numbers with a fraction as text (`"0.01"`). A field in **bold** is required.
"""
_REASONS_HEAD = """# Reasons in a status

Made from `tightship.api.conditions` and `tightship.api.reasons` by
`python -m tests.unit.api.test_reference`. Every condition has one of these reasons and a message
with the cause and the remedy in words of the case at hand.
"""
_VALUES_HEAD = """# Values of the chart

Made from `charts/tightship/values.yaml` by `python -m tests.unit.api.test_reference`.
`values.schema.json` refuses every other name, in `pools` too.

| value | default | meaning |
|---|---|---|
"""


def pages() -> dict[Path, str]:
    """Text of each page by its path."""
    return {
        FOLDER / "api.md": _api(),
        FOLDER / "reasons.md": _reasons(),
        FOLDER / "values.md": _values(),
    }


def _reasons() -> str:
    means = [f"| `{reason}` | {meaning} |\n" for reason, meaning in DESCRIPTIONS.items()]
    limits = [f"| `{reason}` | {words} |\n" for reason, words in LIMITATIONS.items()]
    return "".join(
        [
            _REASONS_HEAD,
            "\n## Of the operator\n\n| reason | means |\n|---|---|\n",
            *means,
            "\n## Of a model that is served with less than others\n\n",
            "`Converted` is True with the first of these as its reason, and the report lists them ",
            "among its warnings.\n\n| reason | cause and remedy |\n|---|---|\n",
            *limits,
            "\n## Of a failed intake or conversion\n\n",
            *_meanings(JOB_FAILURES),
            "\n## Of a model that a server cannot load\n\n",
            *_meanings(LOAD_FAILURES),
        ]
    )


def _meanings(table: Mapping[str, Meaning]) -> Iterator[str]:
    yield "| reason | cause | remedy | tried again |\n|---|---|---|---|\n"
    for reason, (cause, remedy, again) in table.items():
        yield f"| `{reason}` | {cause} | {remedy} | {again} |\n"


def _api() -> str:
    parts = [_API_HEAD]
    for plural, kind in _KINDS.items():
        for part in ("spec", "status"):
            schema = of_crd(plural, part)
            parts.append(f"\n## {kind}: {part}\n\n{schema['description']}\n\n")
            parts.append("| field | type | default | meaning |\n|---|---|---|---|\n")
            parts += [_row(*field) for field in _fields(schema, "")]
            parts += [f"\nRule: {rule['message']}.\n" for rule in _rules(schema)]
    return "".join(parts)


def _fields(schema: _Schema, at: str) -> Iterator[tuple[str, _Schema, bool]]:
    """Name, schema and whether it is required, of every field below an object."""
    for name, field in schema.get("properties", {}).items():
        yield f"{at}{name}", field, name in schema.get("required", ())
        yield from _fields(field, f"{at}{name}.")
        if "items" in field:
            yield from _fields(field["items"], f"{at}{name}[].")
        if isinstance(field.get("additionalProperties"), Mapping):
            yield from _fields(field["additionalProperties"], f"{at}{name}.NAME.")


def _row(name: str, schema: _Schema, required: bool) -> str:  # noqa: FBT001 (a fact of the field)
    shown = f"**`{name}`**" if required else f"`{name}`"
    default = schema.get("default")
    written = "" if default in (None, {}) else f"`{_plain(default)}`"
    return f"| {shown} | {_type(schema)} | {written} | {_cell(_meaning(schema))} |\n"


def _meaning(schema: _Schema) -> str:
    inner = schema.get("items", schema.get("additionalProperties", {}))
    rules = [*_rules(schema), *_rules(inner if isinstance(inner, Mapping) else {})]
    texts = [rule["message"] for rule in rules]
    notes = [f"It {text}." if text.startswith(("must", "is")) else f"{text}." for text in texts]
    return " ".join([schema["description"], *notes])


def _rules(schema: _Schema) -> list[dict[str, str]]:
    return list(schema.get("x-kubernetes-validations", ()))


def _type(schema: _Schema) -> str:
    if "enum" in schema:
        return " \\| ".join(f"`{word}`" for word in schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return "quantity"
    kind = str(schema["type"])
    if kind == "integer" and "minimum" in schema:
        return f"integer, {schema['minimum']} to {schema['maximum']}"
    if "additionalProperties" in schema:
        return f"map, at most {schema['maxProperties']}"
    return f"list, at most {schema['maxItems']}" if kind == "array" else kind


def _values() -> str:
    text = (CHART / "values.yaml").read_text()
    return _VALUES_HEAD + "".join(
        f"| `{name}` | `{_cell(_plain(default))}` | {_cell(meaning)} |\n"
        for name, default, meaning in _documented(text)
    )


def _documented(text: str) -> Iterator[tuple[str, Any, str]]:
    """Name, default and meaning of every value that has a `# --` comment."""
    values, comment, parents = yaml.safe_load(text), [""], [""]
    for line in text.splitlines():
        bare, depth = line.strip(), (len(line) - len(line.lstrip())) // 2
        if bare.startswith("# -- "):
            comment = [bare.removeprefix("# -- ")]
        elif bare.startswith("# ") and comment[0] and not bare.startswith("# @"):
            comment.append(bare.removeprefix("# "))
        elif bare and not bare.startswith("#"):
            parents = [*parents[:depth], bare.partition(":")[0]]
            if comment[0]:
                default = values
                for name in parents:
                    default = default[name]
                yield ".".join(parents), default, " ".join(comment)
            comment = [""]


def _plain(value: object) -> str:
    written: str = yaml.safe_dump(value, default_flow_style=True, width=10_000, sort_keys=False)
    return written.removesuffix("\n").removesuffix("\n...")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
