"""What one plan keeps for the next: results of pure functions, beside the arguments they had."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

P = ParamSpec("P")
T = TypeVar("T")

POOL = ""
"""The key of what there is once in a pool."""


class Memo:
    """The last result of each function for each key: a model's or a server's name, or `POOL`.

    It is given again for equal arguments only, so a plan made with a memo is the plan made without
    one. Objects that did not change are the same objects from snapshot to snapshot, and Python
    compares such by identity: a look costs half a microsecond. Belongs to one pool.
    """

    def __init__(self) -> None:
        self._known: dict[Callable[..., Any], dict[str, tuple[object, object, object]]] = {}

    def of(self, key: str, function: Callable[P, T], /, *arguments: P.args, **named: P.kwargs) -> T:
        """`function(*arguments, **named)`, which must be pure and hold no argument that changes."""
        table = self._known.setdefault(function, {})
        last = table.get(key)
        if last is not None and last[0] == arguments and last[1] == named:
            return cast("T", last[2])
        result = function(*arguments, **named)
        table[key] = (arguments, named, result)
        return result

    def keep(self, keys: Collection[str]) -> None:
        """Forget all keys but these and `POOL`."""
        for table in self._known.values():
            if len(table) > len(keys):
                for key in table.keys() - keys - {POOL}:
                    del table[key]
