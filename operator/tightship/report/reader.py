"""Reading a JSON value of unknown origin: what is not as expected is named by its path."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


class ReportError(ValueError):
    """This is no report that can be shown; the message says where and what to do."""


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON value and where it stands."""

    value: object
    path: str = "the report"

    def at(self, name: str) -> "Node":
        """A field; what an object does not have is null.

        Raises:
            ReportError: this is no object.
        """
        if not isinstance(self.value, dict):
            raise self._unlike("an object")
        return Node(self.value.get(name), f"{self.path}, {name}")

    def fields(self) -> list[tuple[str, "Node"]]:
        """All fields, sorted by name; null has none."""
        if self.value is None:
            return []
        if not isinstance(self.value, dict):
            raise self._unlike("an object")
        return [(str(name), self.at(name)) for name in sorted(self.value, key=str)]

    def items(self) -> list["Node"]:
        """All elements of a list; null has none."""
        if self.value is None:
            return []
        if not isinstance(self.value, list):
            raise self._unlike("a list")
        return [Node(item, f"{self.path}, {index}") for index, item in enumerate(self.value)]

    def maybe(self, read: Callable[["Node"], T]) -> T | None:
        """Read this node, unless it is null."""
        return None if self.value is None else read(self)

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            raise self._unlike("text")
        return self.value

    def texts(self) -> tuple[str, ...]:
        """A list of strings."""
        return tuple(item.text() for item in self.items())

    def number(self) -> float:
        """A finite number."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self._unlike("a number")
        try:
            found = float(self.value)
        except OverflowError:
            raise self._unlike("a number of usual size") from None
        if not math.isfinite(found):
            raise self._unlike("a finite number")
        return found

    def numbers(self) -> dict[str, float]:
        """An object whose values are numbers."""
        return {name: node.number() for name, node in self.fields()}

    def integer(self) -> int:
        """A whole number."""
        return int(self.number())

    def flag(self) -> bool:
        """A truth value."""
        if not isinstance(self.value, bool):
            raise self._unlike("true or false")
        return self.value

    def _unlike(self, wanted: str) -> ReportError:
        return ReportError(
            f"{self.path}: {wanted} was expected. This is no report.json of schema 1, or it was "
            "edited; write it anew with tightship optimize."
        )
