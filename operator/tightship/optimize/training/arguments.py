"""The command line's options of training, and the same options in a report's command."""

import argparse
from dataclasses import fields
from typing import Any

from tightship.api.training import (
    OPTIMIZERS,
    PRECISIONS,
    SCHEDULES,
    TECHNIQUES,
    TrainerRequest,
    TrainingOptions,
)
from tightship.optimize import entry

_CHOICES = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "precision": PRECISIONS}
_KINDS: dict[str, type] = {
    "epochs": int,
    "batch_size": int,
    "learning_rate": float,
    "l1": float,
    "l2": float,
    "patience": int,
    "temperature": float,
    "alpha": float,
    "seed": int,
    "seconds": float,
    "threads": int,
}
_TOLD = {
    "techniques": f"comma-separated, of {', '.join(TECHNIQUES)} (default: all but zeros)",
    "epochs": "at most (default 30)",
    "batch_size": "of a data set (default 64)",
    "optimizer": "(default adamw)",
    "learning_rate": "(default 0.001)",
    "schedule": "of the learning rate (default cosine)",
    "l1": "weight of the sum of all weights' magnitudes (default 0)",
    "l2": "weight decay (default 0.001)",
    "precision": "of the arithmetic; halves are mixed with fp32 (default fp32)",
    "patience": "epochs without a better metric before training ends (default 8)",
    "temperature": "of distillation (default 2)",
    "alpha": "share of the original's answers in the loss; 0: no distillation (default 0.5)",
    "seed": "(default 0)",
    "seconds": "of one training (default 600)",
    "threads": "of training (default: all processors)",
}


def add(parser: argparse.ArgumentParser) -> None:
    """The options of `tightship optimize` for training."""
    group = parser.add_argument_group(
        "training", "needs tightship[torch]; runs the code in FILE.py: give only what you trust"
    )
    group.add_argument(
        "--trainer",
        metavar="FILE.py:NAME",
        help="or MODULE:NAME; see docs/techniques/trainer.md",
    )
    for name in (each.name for each in fields(TrainingOptions)):
        kinds: dict[str, Any] = {"choices": _CHOICES[name]} if name in _CHOICES else {}
        if name in _KINDS:
            kinds = {"type": _KINDS[name], "metavar": _KINDS[name].__name__.upper()}
        group.add_argument(_flag(name), help=_TOLD[name], **kinds)


def _flag(name: str) -> str:
    return f"--train-{name.replace('_', '-')}"


def request(options: argparse.Namespace) -> TrainerRequest | None:
    """What is asked of training; None without a trainer.

    Raises:
        ValueError: an option is out of its range, or given without a trainer.
    """
    names = [each.name for each in fields(TrainingOptions)]
    given = {name: getattr(options, f"train_{name}") for name in names}
    given = {name: value for name, value in given.items() if value is not None}
    if not options.trainer:
        if given:
            raise ValueError(f"{_flag(next(iter(given)))} needs --trainer FILE.py:NAME")
        return None
    parts = entry.below(options.trainer)
    if parts is None:
        raise ValueError(f"--trainer is given as '{options.trainer}'; it has to be {entry.FORMS}")
    if "techniques" in given:
        given["techniques"] = tuple(each for each in given["techniques"].split(",") if each)
    return TrainerRequest(
        uri=str(parts[0]),
        entry=parts[1],
        trusted=True,  # who runs this command runs the file as well
        confined=False,
        options=TrainingOptions(**given),
    )


def command(asked: TrainerRequest | None) -> list[str]:
    """The options that ask for the same training; its folder is left out, as all addresses are."""
    if asked is None:
        return []
    usual, found = TrainingOptions(), ["--trainer", asked.entry]
    for name in (each.name for each in fields(TrainingOptions)):
        value = getattr(asked.options, name)
        if value != getattr(usual, name):
            text = ",".join(value) if isinstance(value, tuple) else str(value)
            found.append(f"{_flag(name)}={text}")
    return found
