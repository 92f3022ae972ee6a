"""`tightship slices`: how to cut accelerators into slices (MIG), and which models go where."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tightship.api.fields import SpecError
from tightship.cli.slices_file import Question, read
from tightship.plan.mig.choose import Slice, SlicePlan, choose
from tightship.plan.mig.segments import Tenant

_COLUMNS = ("DEVICE", "SLICE", "SLOT", "MODELS")


def main(arguments: Sequence[str]) -> int:
    """Print the plan; 1 when the file is wrong, 3 when a model cannot be planned."""
    parser = argparse.ArgumentParser(prog="tightship slices", description=__doc__)
    parser.add_argument("-f", "--filename", required=True, help="a YAML file, or - for a pipe")
    parser.add_argument(
        "--alone", action="store_true", help="one model a slice: the fewest devices, proven"
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    given = parser.parse_args(arguments)
    try:
        question = read(_text(given.filename))
    except (SpecError, UnicodeDecodeError) as error:
        sys.stderr.write(f"tightship slices: {given.filename}: {error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"tightship slices: {error.filename}: {error.strerror}\n")
        return 1
    plan = choose(question.workloads, question.geometry, sharing=not given.alone)
    shown = json.dumps(document(question, plan), indent=2) if given.output == "json" else None
    sys.stdout.write(f"{shown or table(question, plan)}\n")
    return 3 if plan.refused else 0


def _text(filename: str) -> str:
    if filename == "-":
        return sys.stdin.read()
    return Path(filename).read_text(encoding="utf-8")


def document(question: Question, plan: SlicePlan) -> dict[str, Any]:
    """The plan as JSON: docs/slices.md says what each field means."""
    return {
        "accelerator": question.geometry.name,
        "bound": plan.bound,
        "devices": [{"slices": [_slice(cut) for cut in device]} for device in plan.devices],
        "refused": dict(plan.refused),
    }


def _slice(cut: Slice) -> dict[str, Any]:
    tenants = () if cut.segment is None else cut.segment.tenants
    return {
        "profile": cut.kind,
        "slot": cut.start,
        "models": [
            {
                "name": one.model,
                "batch": one.point.batch,
                "processes": one.point.processes,
                "turns": one.turns,
                "rate": round(one.rate, 3),
            }
            for one in tenants
        ],
    }


def table(question: Question, plan: SlicePlan) -> str:
    """The plan for a terminal."""
    lines = [_COLUMNS, *_lines(plan)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(_COLUMNS))]
    shown = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    known = "the fewest" if len(plan.devices) == plan.bound else f"at least {plan.bound}"
    total = f"{len(plan.devices)} x {question.geometry.name}: {known} by these measurements"
    refused = [f"not planned: {model}: {why}" for model, why in sorted(plan.refused.items())]
    return "\n".join([*(shown if plan.devices else ()), total, *refused])


def _lines(plan: SlicePlan) -> Iterator[tuple[str, ...]]:
    for number, device in enumerate(plan.devices):
        for cut in device:
            told = "spare" if cut.segment is None else ", ".join(map(_told, cut.segment.tenants))
            yield str(number), cut.kind, str(cut.start), told


def _told(tenant: Tenant) -> str:
    turns = f", {tenant.turns} turns" if tenant.turns > 1 else ""
    point = tenant.point
    return f"{tenant.model} (batch {point.batch} x {point.processes}{turns}, {tenant.rate:.0f}/s)"
