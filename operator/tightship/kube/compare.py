"""Whether a live object still holds everything that is wanted of it."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

_QUANTITY = re.compile(
    r"^([+-]?[0-9]+(?:\.[0-9]*)?|[+-]?\.[0-9]+)([numkMGTPE]i?|[eE][+-]?[0-9]+)?$"
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}

_QUANTITY_KEYS = frozenset({"limits", "requests", "sizeLimit", "capacity", "divisor"})
_MERGE_KEYS = ("name", "uid", "mountPath", "containerPort", "type", "conditionType", "port")

# Pointers in the API: the server keeps an explicit "false", so its absence is a change.
_KEPT_FALSE = frozenset(
    {
        "allowPrivilegeEscalation",
        "automountServiceAccountToken",
        "enableServiceLinks",
        "privileged",
        "readOnlyRootFilesystem",
        "runAsNonRoot",
        "shareProcessNamespace",
        "suspend",
        "controller",
        "blockOwnerDeletion",
    }
)


def contains(live: object, wanted: object) -> bool:
    """Whether every wanted field is live, as server-side apply would leave it.

    Further live fields (the server's defaults, other managers' work) do not matter. Lists of
    named maps are compared by name, other lists item by item. Quantities are compared by value.
    """
    return _contains(live, wanted, quantity=False)


def _contains(live: object, wanted: object, *, quantity: bool) -> bool:
    if isinstance(wanted, Mapping):
        return isinstance(live, Mapping) and all(
            _holds(live, key, value, quantity=quantity) for key, value in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(live, list) and _list_contains(live, wanted, quantity=quantity)
    if isinstance(live, bool) or isinstance(wanted, bool):
        return live is wanted
    return live == wanted or (quantity and _same_quantity(live, wanted))


def _holds(live: Mapping[str, Any], key: str, wanted: object, *, quantity: bool) -> bool:
    if key not in live:
        return _vanishes(key, wanted)
    return _contains(live[key], wanted, quantity=quantity or key in _QUANTITY_KEYS)


def _vanishes(key: str, wanted: object) -> bool:
    """Whether the server leaves a field with this value out (Go's omitempty)."""
    if wanted is False:
        return key not in _KEPT_FALSE
    return wanted is None or wanted in ("", [], {})


def _list_contains(live: Sequence[Any], wanted: Sequence[Any], *, quantity: bool) -> bool:
    key = _merge_key(wanted)
    if key is None:
        return len(live) == len(wanted) and all(
            _contains(one, other, quantity=quantity)
            for one, other in zip(live, wanted, strict=True)
        )
    found = {item.get(key): item for item in live if isinstance(item, Mapping)}
    return all(_contains(found.get(item[key]), item, quantity=quantity) for item in wanted)


def _merge_key(items: Sequence[Any]) -> str | None:
    """The field that names the items of a list, if one does."""
    if not items or not all(isinstance(item, Mapping) for item in items):
        return None
    for key in _MERGE_KEYS:
        values = [item.get(key) for item in items]
        if None not in values and len(set(map(str, values))) == len(values):
            return key
    return None


def _same_quantity(one: object, other: object) -> bool:
    left, right = _quantity(one), _quantity(other)
    return left is not None and left == right


def _quantity(value: object) -> Decimal | None:
    """The value of a Kubernetes quantity such as 500m, 1.5 or 2Gi."""
    match = _QUANTITY.match(str(value))
    if match is None:
        return None
    number, suffix = Decimal(match[1]), match[2] or ""
    if suffix in _BINARY:
        return number * Decimal(1024) ** _BINARY[suffix]
    if suffix in _DECIMAL:
        return number.scaleb(_DECIMAL[suffix])
    if suffix[:1] in ("e", "E"):
        return number.scaleb(int(suffix[1:]))
    return number if not suffix else None
