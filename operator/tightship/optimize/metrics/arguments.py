"""The command line's option of the metric: a name, or a function of the user's own."""

import argparse
from pathlib import Path

from tightship.api.job import MetricRequest
from tightship.api.v1alpha1 import Metric
from tightship.optimize import entry


def add(parser: argparse.ArgumentParser) -> None:
    """The option of `tightship optimize`."""
    parser.add_argument(
        "--metric",
        default=Metric.ACCURACY.value,
        help=f"{', '.join(Metric)}, or FILE.py:NAME of your own (docs/metric.md), which is run: "
        "give only what you trust (default accuracy)",
    )


def problem(options: argparse.Namespace) -> str | None:
    """What is wrong with the options given."""
    if options.metric in list(Metric):
        return None
    if entry.split(options.metric) is None:
        return f"--metric {options.metric}: it is one of {', '.join(Metric)}, or FILE.py:NAME"
    if not options.evaluation:
        return "--metric FILE.py:NAME needs --evaluation: it compares answers with labels"
    return None


def builtin(options: argparse.Namespace) -> str | None:
    """The metric's name; None where it is the user's own, or without data to judge on."""
    return options.metric if options.evaluation and options.metric in list(Metric) else None


def own(options: argparse.Namespace) -> MetricRequest | None:
    """The user's own. Whoever runs this command runs the file as well: nothing else trusts it."""
    parts = entry.split(options.metric)
    if parts is None:
        return None
    file = Path(parts[0])
    return MetricRequest(
        uri=str(file.parent), entry=f"{file.name}:{parts[1]}", trusted=True, confined=False
    )
