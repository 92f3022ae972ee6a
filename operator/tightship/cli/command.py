"""The command line: which subcommand is meant. Each brings in its own package, and no other."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import version

Run = Callable[[Sequence[str]], int | None]


def _controller(arguments: Sequence[str]) -> int | None:
    return _call("tightship.controller.main", arguments)


def _agent(arguments: Sequence[str]) -> int | None:
    return _call("tightship.agent.main", arguments)


def _optimize(arguments: Sequence[str]) -> int | None:
    return _call("tightship.optimize.cli", arguments)


def _job(arguments: Sequence[str]) -> int | None:
    parser = argparse.ArgumentParser(
        prog="tightship job", description="Run one stage of a Job; it is told by its environment."
    )
    stages = ("fetch", "inspect", "convert", "publish", "sweep", "fetch-evaluation", "evaluate")
    parser.add_argument("stage", choices=stages)
    stage = parser.parse_args(arguments).stage
    if stage == "sweep":
        return _call("tightship.optimize.sweep")
    if stage in ("fetch-evaluation", "evaluate"):
        return _call("tightship.optimize.reevaluate", stage)
    return _call("tightship.optimize.job", stage)


def _report(arguments: Sequence[str]) -> int | None:
    return _call("tightship.cli.report", arguments)


def _validate(arguments: Sequence[str]) -> int | None:
    return _call("tightship.cli.validate", arguments)


def _crds(arguments: Sequence[str]) -> int | None:
    return _call("tightship.cli.crds", arguments)


def _slices(arguments: Sequence[str]) -> int | None:
    return _call("tightship.cli.slices", arguments)


def _version(_: Sequence[str]) -> int:
    sys.stdout.write(f"tightship {version('tightship')}\n")
    return 0


COMMANDS: dict[str, tuple[Run, str]] = {
    "run": (_controller, "run the operator"),
    "agent": (_agent, "run the agent beside a Triton server"),
    "job": (_job, "run one stage of a conversion Job, or a clean-up of the store"),
    "optimize": (_optimize, "optimize a model on this machine"),
    "report": (_report, "show a report.json as HTML or as Markdown for a pull request"),
    "validate": (_validate, "check resources in YAML files"),
    "slices": (_slices, "how to cut accelerators into MIG slices for measured models"),
    "crds": (_crds, "write or delete the CRDs; the chart's hooks use it"),
    "version": (_version, "print the version"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; the exit status."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    listed = "\n".join(f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog="tightship",
        description="Models made smaller inside an accuracy gate, served by Triton.",
        epilog=f"commands:\n{listed}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", choices=COMMANDS, metavar="command")
    command = parser.parse_args(given[:1]).command
    return COMMANDS[command][0](given[1:]) or 0


def _call(module: str, *arguments: object) -> int | None:
    status: int | None = import_module(module).main(*arguments)
    return status
