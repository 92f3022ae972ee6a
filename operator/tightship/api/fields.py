"""Readers of untrusted JSON: a value and its path in, a typed value or a `SpecError` out.

Null means absent, as the API server reads it. Every reader is total.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from fractions import Fraction
from typing import TypeVar

from tightship.api import quantity

T = TypeVar("T")
D = TypeVar("D")
E = TypeVar("E", bound=StrEnum)
N = TypeVar("N", float, Fraction)
Reader = Callable[[object, str], T]


class SpecError(ValueError):
    """A resource that cannot be accepted: one plain sentence that begins with the field's path."""


class Fields:
    """One JSON object that is being read: each field is taken once, `end` refuses what is left."""

    def __init__(self, raw: object, path: str) -> None:
        if not isinstance(raw, Mapping):
            raise SpecError(f"{path}: must be an object")
        self._path = path
        self._left = dict(raw)

    def required(self, name: str, reader: Reader[T]) -> T:
        """The field's value.

        Raises:
            SpecError: the field is absent or not what the reader takes.
        """
        value = self._left.pop(name, None)
        if value is None:
            raise SpecError(f"{self._path}.{name}: is required")
        return reader(value, f"{self._path}.{name}")

    def optional(self, name: str, reader: Reader[T], default: D) -> T | D:
        """The field's value, or the default when it is absent.

        Raises:
            SpecError: the field is there, but not what the reader takes.
        """
        value = self._left.pop(name, None)
        return default if value is None else reader(value, f"{self._path}.{name}")

    def end(self) -> None:
        """Everything has been taken.

        Raises:
            SpecError: a field is left that the API does not know.
        """
        for name in sorted(map(str, self._left)):
            raise SpecError(f"{self._path}.{name}: is not a field of this resource")


def text(pattern: str, what: str, longest: int) -> Reader[str]:
    """A string that matches the whole pattern; `what` completes the sentence "must be ..."."""
    compiled = re.compile(pattern)

    def read(value: object, path: str) -> str:
        plain = string(value, path)
        if len(plain) > longest:
            raise SpecError(f"{path}: must be at most {longest} characters long")
        if not compiled.fullmatch(plain):
            raise SpecError(f"{path}: must be {what}")
        return plain

    return read


def string(value: object, path: str) -> str:
    """Any string."""
    if not isinstance(value, str):
        raise SpecError(f"{path}: must be a string; put numbers into quotes")
    return value


def boolean(value: object, path: str) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise SpecError(f"{path}: must be true or false")
    return value


def integer(low: int, high: int) -> Reader[int]:
    """A whole number within bounds; 2.0 is one too, as in JSON Schema."""

    def read(value: object, path: str) -> int:
        number = _whole(value)
        if number is None or not low <= number <= high:
            raise SpecError(f"{path}: must be a whole number from {low} to {high}")
        return number

    return read


def one_of_numbers(*numbers: int) -> Reader[int]:
    """One of a few whole numbers."""
    named = ", ".join(map(str, numbers))

    def read(value: object, path: str) -> int:
        number = _whole(value)
        if number not in numbers:
            raise SpecError(f"{path}: must be one of {named}")
        return number

    return read


def choice(kind: type[E]) -> Reader[E]:
    """One of the words of an enumeration."""
    named = ", ".join(kind)

    def read(value: object, path: str) -> E:
        if not isinstance(value, str) or value not in set(kind):
            raise SpecError(f"{path}: must be one of {named}")
        return kind(value)

    return read


def word(*words: str) -> Reader[str]:
    """One of a few words."""
    named = ", ".join(words)

    def read(value: object, path: str) -> str:
        if not isinstance(value, str) or value not in words:
            raise SpecError(f"{path}: must be one of {named}")
        return value

    return read


def decimal(low: str, high: str) -> Reader[float]:
    """A decimal number written as a string, within bounds."""
    return _within(string, quantity.decimal, low, high)


def duration(low: str, high: str) -> Reader[float]:
    """Seconds of a duration, within bounds."""
    read = _within(string, quantity.duration, low, high)
    return lambda value, path: float(read(value, path))


def memory(low: str, high: str) -> Reader[int]:
    """Bytes of a quantity, within bounds."""
    read = _within(_text_or_number, quantity.memory, low, high)
    return lambda value, path: quantity.whole_bytes(read(value, path))


def cpu(low: str, high: str) -> Reader[float]:
    """Cores of a quantity, within bounds."""
    read = _within(_text_or_number, quantity.cpu, low, high)
    return lambda value, path: float(read(value, path))


def sequence(item: Reader[T], most: int) -> Reader[tuple[T, ...]]:
    """A list, each of its items read."""

    def read(value: object, path: str) -> tuple[T, ...]:
        if not isinstance(value, Sequence) or isinstance(value, str | bytes):
            raise SpecError(f"{path}: must be a list")
        if len(value) > most:
            raise SpecError(f"{path}: must have at most {most} items")
        return tuple(item(part, f"{path}[{index}]") for index, part in enumerate(value))

    return read


def distinct(item: Reader[T], most: int) -> Reader[tuple[T, ...]]:
    """A list in which no item is named twice, as the API server holds a `set`."""
    read = sequence(item, most)

    def unique(value: object, path: str) -> tuple[T, ...]:
        items = read(value, path)
        twice = next((i for n, i in enumerate(items) if i in items[:n]), None)
        if twice is not None:
            raise SpecError(f"{path}: names {twice} twice")
        return items

    return unique


def mapping(key: Reader[str], item: Reader[T], most: int) -> Reader[dict[str, T]]:
    """An object whose names are the user's."""

    def read(value: object, path: str) -> dict[str, T]:
        if not isinstance(value, Mapping):
            raise SpecError(f"{path}: must be an object")
        present = {name: part for name, part in value.items() if part is not None}
        if len(present) > most:
            raise SpecError(f"{path}: must have at most {most} entries")
        return {key(name, path): item(part, f"{path}.{name}") for name, part in present.items()}

    return read


def _whole(value: object) -> int | None:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _text_or_number(value: object, path: str) -> str | int:
    if isinstance(value, bool) or not isinstance(value, int | str):  # 2.0 is none
        raise SpecError(f"{path}: must be a whole number or a string")
    return value


def _within(take: Reader[T], convert: Callable[[T | str], N], low: str, high: str) -> Reader[N]:
    """A number in one of the notations of `quantity`; the bounds are in the same one."""
    least, most = convert(low), convert(high)

    def read(value: object, path: str) -> N:
        taken = take(value, path)
        try:
            number = convert(taken)
        except ValueError as error:
            raise SpecError(f"{path}: {error}") from None
        if not least <= number <= most:
            raise SpecError(f"{path}: must be from {low} to {high}")
        return number

    return read
