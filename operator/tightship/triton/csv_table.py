"""Tables of other tools in CSV: columns by name, cells by line, and errors that name both."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass

CELL_MAX = 80  # characters of a cell that an error shows


class TableError(Exception):
    """A table that cannot be taken: where, why and what to do, in one line."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its cells by column, and the line that it ends on."""

    line: int
    cells: Mapping[str, str]

    def has(self, column: str) -> bool:
        """Whether the table has this column."""
        return column in self.cells

    def number(self, column: str, *, least: float = 0.0) -> float:
        """A finite number that is not below `least`.

        Raises:
            TableError: it is none.
        """
        text = self.cells[column]
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value) or value < least:
            raise self.error(
                f"{column} is {text[:CELL_MAX]!r}, not a number of at least {least:g}; "
                "export the file again, unedited"
            )
        return value

    def positive(self, column: str) -> float:
        """A finite number above zero.

        Raises:
            TableError: it is none.
        """
        value = self.number(column)
        if value == 0:
            raise self.error(
                f"{column} is 0: nothing was measured; measure longer (--measurement-interval)"
            )
        return value

    def count(self, column: str) -> int:
        """A whole number of at least 1.

        Raises:
            TableError: it is none.
        """
        value = self.number(column, least=1)
        if not value.is_integer():
            raise self.error(f"{column} is {value:g}, not a whole number")
        return int(value)

    def error(self, why: str) -> TableError:
        """An error about this row."""
        return TableError(f"line {self.line}: {why}")


def read(text: str, columns: tuple[str, ...], origin: str) -> list[Row]:
    """The rows of a table with a header.

    Args:
        text: the file, with or without a byte order mark.
        columns: those that have to be there.
        origin: how the file is made; errors say it.

    Raises:
        TableError: no header, a column is missing, a row is cut short, or there is no row.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        missing = [name for name in columns if name not in header]
        if missing:
            raise TableError(f"line 1: no column {', '.join(missing)}; this is not {origin}")
        rows = [_row(header, cells, reader.line_num) for cells in reader if any(cells)]
    except csv.Error as error:
        raise TableError(
            f"line {reader.line_num}: not CSV ({error}); this is not {origin}"
        ) from error
    if not rows:
        raise TableError("line 1: a header and no row: nothing was measured")
    return rows


def _row(header: list[str], cells: list[str], line: int) -> Row:
    # perf_analyzer ends rows with GPU metrics by a comma that its header lacks
    if len(cells) == len(header) + 1 and not cells[-1]:
        cells = cells[:-1]
    if len(cells) != len(header):
        raise TableError(
            f"line {line}: {len(cells)} cells where the header has {len(header)}; the file was cut "
            "short or edited: export it again"
        )
    return Row(line, dict(zip(header, (cell.strip() for cell in cells), strict=True)))
