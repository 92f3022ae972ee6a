"""The CRDs' schemas as JSON Schemas that know no field but theirs."""

from typing import Any

import yaml
from tests.support.cache import REPOSITORY

Schema = dict[str, Any]


def of_crd(plural: str, part: str) -> Schema:
    """The structural schema of a CRD's `spec` or `status`, as it stands in the file."""
    definition = yaml.safe_load((REPOSITORY / "crds" / f"{plural}.yaml").read_text())
    (version,) = definition["spec"]["versions"]
    schema: Schema = version["schema"]["openAPIV3Schema"]["properties"][part]
    return schema


def strict(schema: Schema) -> Schema:
    """The same as JSON Schema: Kubernetes' extensions left out, unknown fields refused."""
    plain = {
        name: _inside(name, value)
        for name, value in schema.items()
        if not name.startswith("x-kubernetes-") and name not in ("format", "nullable")
    }
    if schema.get("x-kubernetes-int-or-string"):
        plain.pop("maxLength", None)
        plain["anyOf"] = [{"type": "integer"}, {"type": "string", "maxLength": schema["maxLength"]}]
    if schema.get("type") == "object" and "additionalProperties" not in schema:
        plain["additionalProperties"] = False
    return plain


def _inside(name: str, value: object) -> object:
    if name == "properties" and isinstance(value, dict):
        return {field: strict(schema) for field, schema in value.items()}
    if name in ("items", "additionalProperties") and isinstance(value, dict):
        return strict(value)
    return value
