"""`tightship plan`: where models would go, what that costs, what breaks first; nothing is done."""

import argparse
import asyncio
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from tightship.cli import cluster
from tightship.cli.cluster import Cluster
from tightship.plan.pack.change import BUDGET
from tightship.plan.placement import server_memory
from tightship.whatif import document, measured, outlook, page, picture, resources, table, traffic
from tightship.whatif.errors import QuestionError
from tightship.whatif.measured import Cost
from tightship.whatif.outlook import Outlook
from tightship.whatif.question import Question, Wanted
from tightship.whatif.resources import Model, Pool, Resources
from tightship.whatif.traffic import Traffic

STATUS_WRONG, STATUS_NOT_FINE = 1, 3

OUTPUTS: dict[str, Callable[[Outlook], str]] = {
    "table": table.table,
    "json": document.text,
    "html": page.page,
    "svg": lambda found: f"{picture.standalone(found)}\n",
}
"""How an answer may be shown."""


def main(arguments: Sequence[str]) -> int:
    """Answer; 1 for wrong inputs, 3 where a model waits or misses its objective."""
    given = parser().parse_args(arguments)
    try:
        found = answered(given)
        text = OUTPUTS[given.output](found)
        if given.to is None:
            sys.stdout.write(text)
        else:
            given.to.write_text(text, encoding="utf-8")
    except QuestionError as error:
        sys.stderr.write(f"tightship plan: {error}\n")
        return STATUS_WRONG
    except OSError as error:
        sys.stderr.write(f"tightship plan: {error.filename}: {error.strerror}\n")
        return STATUS_WRONG
    return 0 if found.fine else STATUS_NOT_FINE


def parser() -> argparse.ArgumentParser:
    """The command's arguments."""
    found = argparse.ArgumentParser(
        prog="tightship plan",
        description=__doc__,
        epilog="Exit status: 0 all is well, 1 wrong inputs, 3 a model waits or misses.",
    )
    inputs = found.add_argument_group("what is planned")
    inputs.add_argument(
        "-f", "--filename", action="append", default=[], help="OptimizedModels in YAML; repeatable"
    )
    inputs.add_argument("--pool", help="the ServingPool: a YAML file, or a name of one given")
    inputs.add_argument("--profiles", type=Path, metavar="DIR", help="holds NAME.json of models")
    inputs.add_argument("--traffic", type=Path, metavar="FILE", help="rates in YAML")
    inputs.add_argument(
        "--rate", action="append", default=[], metavar="NAME=RATE[,CV]",
        help="samples a second of one model, * for all others; wins over the file",
    )  # fmt: skip
    live = found.add_argument_group("what runs now")
    live.add_argument("--from-cluster", action="store_true", help="read it; -f wins over it")
    live.add_argument("-n", "--namespace", default="default")
    live.add_argument("--kubeconfig", help="default: $KUBECONFIG, then ~/.kube/config")
    live.add_argument("--context", help="of the kubeconfig; default: its current one")
    what = found.add_argument_group("what if")
    what.add_argument("--load", type=_factor, default=1.0, help="multiplies every rate")
    what.add_argument("--servers", type=_servers, help="at most so many, in the pool's place")
    what.add_argument("--fixed-copies", action="store_true", help="replicas, and no more")
    what.add_argument(
        "--price", type=_factor, help="of one server for an hour; default: the pool's"
    )
    what.add_argument(
        "--moves", type=_share, default=BUDGET, metavar="SHARE",
        help=f"of the copies, that may move only to save servers; default: {BUDGET:g}",
    )  # fmt: skip
    what.add_argument("--kappa", type=_factor, default=1.0, help="calibrates predicted waits")
    shown = found.add_argument_group("how it is shown")
    shown.add_argument("--output", choices=OUTPUTS, default="table")
    shown.add_argument("--to", type=Path, metavar="FILE", help="default: standard output")
    return found


def answered(given: argparse.Namespace) -> Outlook:
    """The answer to what the arguments ask.

    Raises:
        QuestionError: it cannot be answered.
        OSError: a file cannot be read.
    """
    return outlook.answer(_question(given))


def _question(given: argparse.Namespace) -> Question:
    now = _cluster(given) if given.from_cluster else None
    found = now.resources if now else Resources()
    for file in given.filename:
        found = found.under(resources.read(_text(file), file))
    pool, found = _pool(given, found)
    return Question(
        pool=pool,
        models=_wanted(given, pool, found),
        price=pool.spec.price_per_hour if given.price is None else given.price,
        kappa=given.kappa,
        fixed_copies=given.fixed_copies,
        max_servers=given.servers,
        budget=given.moves,
        running=now.running(pool.name) if now else None,
    )


def _wanted(given: argparse.Namespace, pool: Pool, found: Resources) -> tuple[Wanted, ...]:
    """The pool's models with their traffic and cost."""
    models = {n: m for n, m in sorted(found.models.items()) if m.spec.serving.pool == pool.name}
    if not models:
        raise QuestionError(
            f"no model names the pool {pool.name} in serving.poolRef"
            + (f"; {len(found.models)} name others" if found.models else "; give models with -f")
        )
    loads = _traffic(given, models)
    memory = server_memory(pool.spec)
    known = {name: _cost(model, given.profiles, memory) for name, model in models.items()}
    costs = measured.corrected(known, models)
    return tuple(
        Wanted(
            resource=model,
            traffic=loads[name].times(given.load),
            cost=costs[name],
        )
        for name, model in models.items()
    )


def _cluster(given: argparse.Namespace) -> Cluster:
    kubeconfig = given.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
    return asyncio.run(
        cluster.read(
            given.namespace,
            kubeconfig=os.path.expanduser(kubeconfig),  # noqa: PTH111 (may be several, by colons)
            context=given.context,
        )
    )


def _pool(given: argparse.Namespace, found: Resources) -> tuple[Pool, Resources]:
    """The pool that is meant, and the resources with those of its file."""
    if given.pool and given.pool in found.pools:
        return found.pools[given.pool], found
    if given.pool:
        if not Path(given.pool).is_file():
            there = f"; there are {', '.join(sorted(found.pools))}" if found.pools else ""
            raise QuestionError(f"--pool {given.pool}: no file and no ServingPool{there}")
        more = resources.read(_text(given.pool), given.pool)
        if len(more.pools) != 1:
            raise QuestionError(f"{given.pool}: must hold one ServingPool, not {len(more.pools)}")
        (pool,) = more.pools.values()
        return pool, found.under(more)
    if len(found.pools) != 1:
        there = f"; there are {', '.join(sorted(found.pools))}" if found.pools else ""
        raise QuestionError(f"name the ServingPool with --pool{there}")
    (pool,) = found.pools.values()
    return pool, found


def _traffic(given: argparse.Namespace, models: Mapping[str, Model]) -> dict[str, Traffic]:
    """What the flags say, else the file, else what the statuses tell."""
    told = {name: traffic.of_status(model.status) for name, model in models.items()}
    loads = {name: load for name, load in told.items() if load is not None}
    if given.traffic:
        loads.update(traffic.read(_text(given.traffic), str(given.traffic)))
    loads.update(traffic.flag(text) for text in given.rate)
    return traffic.of_all(loads, models)


def _cost(model: Model, folder: Path | None, server_memory: int) -> Cost:
    """What is known of a model: a file, else its status, else nothing."""
    cost = _profiled(model.name, folder) or measured.from_status(model)
    cost = cost or measured.unknown(server_memory)
    return cost if model.spec.serving.dynamic_batching.enabled else measured.unbatched(cost)


def _profiled(name: str, folder: Path | None) -> Cost | None:
    """From DIR/NAME.json or from an artifact's DIR/NAME/profile.json."""
    if folder is None:
        return None
    if not folder.is_dir():
        raise QuestionError(f"--profiles {folder}: is no folder")
    for file in (folder / f"{name}.json", folder / name / "profile.json"):
        if file.is_file():
            return measured.from_json(_text(file), str(file))
    return None


def _text(file: str | Path) -> str:
    try:
        return sys.stdin.read() if str(file) == "-" else Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise QuestionError(f"{file}: not text in UTF-8; name another file") from error


def _factor(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError("must be a number above 0")
    return value


def _servers(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError("must be a whole number of at least 1")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError("must be a share from 0 to 1")
    return value
