"""Figures of a benchmark against their budgets: printed as a table, written as JSON."""

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results"
BUDGETS = FOLDER / "budgets.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number. `spread` is the range of several; `ok` is None without a target."""

    name: str
    value: float
    unit: str
    spread: str | None = None
    target: str | None = None
    ok: bool | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """What is read more easily side by side than figure by figure. Cells are Markdown."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


class Bench:
    """One run of a benchmark: collects figures, and writes them at the end."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.figures: list[Figure] = []
        self.tables: list[Table] = []
        self._begin = time.monotonic()
        self._budgets: dict[str, dict[str, Any]] = yaml.safe_load(BUDGETS.read_text())[name]

    def add(
        self,
        name: str,
        value: float,
        unit: str,
        *,
        spread: str | None = None,
        note: str | None = None,
    ) -> None:
        """One figure; its target is the budget of the longest name that it begins with."""
        target, ok = self._judge(name, value)
        figure = Figure(
            name=name, value=value, unit=unit, spread=spread, target=target, ok=ok, note=note
        )
        self.figures.append(figure)
        sys.stdout.write(f"{line(figure)}\n")
        sys.stdout.flush()

    def add_table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table, shown below the figures."""
        table = Table(title=title, columns=columns, rows=rows)
        self.tables.append(table)
        sys.stdout.write(f"\n{aligned(table)}\n\n")
        sys.stdout.flush()

    def _judge(self, name: str, value: float) -> tuple[str | None, bool | None]:
        fitting = [budget for budget in self._budgets if name.startswith(budget)]
        if not fitting:
            return None, None
        budget = self._budgets[max(fitting, key=len)]
        least, most = budget.get("min"), budget.get("max")
        told = [f">= {least:g}"] if least is not None else []
        told += [f"<= {most:g}"] if most is not None else []
        if not told:
            return None, None
        inside = (least is None or value >= least) and (most is None or value <= most)
        return " and ".join(told), inside

    def write(self) -> Path:
        """Writes results/NAME.json; returns its path."""
        return self._written({"bench": self.name, **self._run(f"make bench-{self.name}")})

    def merge(self, command: str) -> Path:
        """Puts this run's figures in the place of those of the same names, the others stay.

        The file says under `later` by which command and commit they came.
        """
        path = RESULTS / f"{self.name}.json"
        kept: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        run = self._run(command)
        merged = {"bench": self.name, **run, **kept}
        for part, key in (("figures", "name"), ("tables", "title")):
            new = {entry[key] for entry in run[part]}
            merged[part] = [e for e in kept.get(part, ()) if e[key] not in new] + run[part]
        if kept:
            others = [r for r in kept.get("later", ()) if r["command"] != command]
            later = {key: run[key] for key in ("command", "commit", "machine", "seconds")}
            merged["later"] = [*others, later]
        return self._written(merged)

    def _run(self, command: str) -> dict[str, Any]:
        return {
            "command": command,
            "commit": _commit(),
            "machine": machine(),
            "seconds": round(time.monotonic() - self._begin, 1),
            "figures": [asdict(figure) for figure in self.figures],
            "tables": [asdict(table) for table in self.tables],
        }

    def _written(self, result: Mapping[str, Any]) -> Path:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{self.name}.json"
        path.write_text(json.dumps(result, indent=1) + "\n")
        return path


def line(figure: Figure) -> str:
    """A figure as a line of a table."""
    verdict = {True: "ok", False: "MISSED", None: ""}[figure.ok]
    value = f"{figure.value:.4g} {figure.unit}".strip()
    told = f"{figure.target or '':<12} {verdict:<7} {figure.note or ''}"
    return f"{figure.name:<58} {value:>14}  {told}".rstrip()


def spread(values: Sequence[float]) -> str:
    """The range of several values, in three digits."""
    return f"{min(values):.3g} to {max(values):.3g}"


def aligned(table: Table) -> str:
    """A table for a terminal."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(table.columns))]
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([table.title, *shown])


def machine() -> str:
    """The machine in words: processor, cores, memory."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB"


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    lines = information.read_text().splitlines() if information.exists() else []
    names = (text.partition(":")[2].strip() for text in lines if text.startswith("model name"))
    return next(names, platform.machine())


def _commit() -> str:
    """The commit that was measured, marked when the tree had other changes."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=True)
    return done.stdout.strip()
