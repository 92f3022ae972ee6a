"""The command line's options of the metric: a name, or a function of the user's own."""

import argparse

from tightship.api.job import MetricRequest
from tightship.api.v1alpha1 import Better, Metric
from tightship.optimize import entry


def add(parser: argparse.ArgumentParser) -> None:
    """The options of `tightship optimize`."""
    group = parser.add_argument_group("metric")
    group.add_argument(
        "--metric",
        default=Metric.ACCURACY.value,
        help=f"{', '.join(Metric)}, or {entry.FORMS} of your own (docs/metric.md), which is run: "
        "give only what you trust (default accuracy)",
    )
    group.add_argument(
        "--metric-better",
        choices=[each.value for each in Better],
        help="of your own metric, where its code does not say it (default larger)",
    )
    group.add_argument("--positive-class", type=int, help="f1 of this class alone")


def problem(options: argparse.Namespace) -> str | None:
    """What is wrong with the options given."""
    if options.metric in list(Metric):
        if options.metric_better:
            return f"--metric-better is for a metric of your own; {options.metric} says it itself"
        return None
    if entry.split(options.metric) is None:
        return f"--metric {options.metric}: it is one of {', '.join(Metric)}, or {entry.FORMS}"
    if not options.evaluation:
        return f"--metric {entry.FORMS} needs --evaluation: it compares answers with labels"
    return None


def builtin(options: argparse.Namespace) -> str | None:
    """The metric's name; None where it is the user's own, or without data to judge on."""
    return options.metric if options.evaluation and options.metric in list(Metric) else None


def own(options: argparse.Namespace) -> MetricRequest | None:
    """The user's own. Whoever runs this command runs the file as well: nothing else trusts it."""
    parts = entry.below(options.metric)
    if parts is None:
        return None
    return MetricRequest(
        uri=str(parts[0]),
        entry=parts[1],
        trusted=True,
        confined=False,
        better=options.metric_better,
    )


def command(asked: MetricRequest | None) -> list[str]:
    """The options that ask for the same metric; its folder is left out, as all addresses are."""
    if asked is None:
        return []
    better = ["--metric-better", asked.better] if asked.better else []
    return ["--metric", asked.entry, *better]
