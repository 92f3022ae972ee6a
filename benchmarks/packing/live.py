"""Part `live`: latencies of ten real models on two real servers against what the planner predicts.

The operator places the models. First all are asked at once, by independent clients (Poisson), then
each without the others on its server, at the same rates. Predictions are those of `tightship plan
--from-cluster`, with the traffic that the statuses tell, and for a model alone with the others'
traffic taken away.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from statistics import median
from typing import Any

import numpy as np
from benchmarks.packing import real, rest, scene
from benchmarks.packing.walk import percentile
from benchmarks.record import Bench, spread
from tests.e2e.support.client import Client
from tests.e2e.support.workspace import SERVING_SECONDS

from tightship.cli import plan
from tightship.whatif.outlook import ModelOutlook, Outlook, Verdict

REQUESTS, REQUESTS_ALONE = 1_000, 320
"""Of the model that is asked least often."""

_WARM_UP, _WARM_UP_ALONE = 80.0, 3.0  # traffic is told from a minute on
_NAMESPACE = "bench-packing-live"
_PLAN = "plan.json"
_P99 = 99
_SURE = 1.96


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What clients of one model saw, in milliseconds, and what was predicted for it."""

    latencies: Sequence[float]
    retried: Mapping[str, int]
    failures: Mapping[str, int]
    predicted: ModelOutlook

    @property
    def p99(self) -> float:
        """99 % of the requests took no longer; NaN where none was answered."""
        return percentile(self.latencies, _P99) if self.latencies else float("nan")

    @property
    def expected(self) -> float:
        """The predicted 99th percentile, NaN where there is none."""
        return float("nan") if self.predicted.p99 is None else self.predicted.p99 * 1000

    @property
    def is_promised(self) -> bool:
        """Whether the planner said that it would be inside its objective."""
        return self.predicted.verdict is Verdict.INSIDE

    def told(self, objective: float) -> str:
        """The note of the figure."""
        if not self.latencies:
            return f"no request was answered: {dict(self.failures)}"
        low, high = interval(self.latencies, _P99)
        return (
            f"predicted {self.expected:.0f} ms, objective {objective:.0f} ms; "
            f"{low:.0f} to {high:.0f} ms at 95 %, {len(self.latencies)} requests"
        )


def interval(values: Sequence[float], percent: float) -> tuple[float, float]:
    """Between which values a percentile lies at 95 % confidence, by the ranks of a sample."""
    ordered, share = sorted(values), percent / 100
    middle, deviation = len(ordered) * share, np.sqrt(len(ordered) * share * (1 - share))
    low = max(0, int(middle - _SURE * deviation) - 1)
    high = min(len(ordered) - 1, int(np.ceil(middle + _SURE * deviation)))
    return ordered[low], ordered[high]


def groups(servers: Mapping[str, str], rates: Mapping[str, float]) -> list[list[str]]:
    """Models that are asked at one time, no two of a server; those of like rates together."""
    lists: dict[str, list[str]] = {}
    for model in sorted(servers, key=lambda name: (rates[name], name)):
        lists.setdefault(servers[model], []).append(model)
    return [[name for name in found if name] for found in zip_longest(*lists.values())]


class _Stage:
    """The scene, and a client in it that asks as it is told."""

    def __init__(self, made: scene.Scene) -> None:
        self._scene = made
        images = made.workspace.cluster.images
        self._client = Client(made.kubectl, made.namespace, images["operator"])
        for source in real.sources():
            self._client.send_arrays(f"{source.name}.npz", source.requests())

    def asked(self, models: Iterable[str], requests: int, warm_up: float) -> Mapping[str, Any]:
        """What the client tells of traffic on these models."""
        names = list(models)
        asked = {
            "seed": len(names), "warmUp": warm_up,
            "seconds": requests / min(real.WISHES[name].rate for name in names),
            "models": [
                {
                    "name": name, "url": self._client.url(name), "samples": f"/data/{name}.npz",
                    "rate": real.WISHES[name].rate,
                }
                for name in names
            ],
        }  # fmt: skip
        self._client.send_json(_PLAN, asked)
        return self._client.run("poisson.py", f"/data/{_PLAN}")

    def planned(self, alone: str | None = None) -> Outlook:
        """What `tightship plan` says of what runs, or of one model without the others' traffic."""
        rates = {} if alone is None else dict.fromkeys(real.WISHES, 0.0)
        if alone is not None:
            rates[alone] = real.WISHES[alone].rate
        flags = [word for name, rate in rates.items() for word in ("--rate", f"{name}={rate}")]
        kubeconfig = str(self._scene.kubectl.kubeconfig)
        where = ["--from-cluster", "-n", self._scene.namespace, "--kubeconfig", kubeconfig]
        return plan.answered(plan.parser().parse_args([*where, "--fixed-copies", *flags]))


def run(bench: Bench, _: Iterable[int]) -> Iterator[None]:
    """Adds the figures; the models are the ten, whatever sizes are asked."""
    with scene.opened(_NAMESPACE) as made:
        made.serve()
        before = rest.wait(made, SERVING_SECONDS)
        stage = _Stage(made)
        told = stage.asked(real.WISHES, REQUESTS, _WARM_UP)
        outlook = stage.planned()
        after = rest.wait(made, SERVING_SECONDS)
        packed = {m.name: _seen(told, m) for m in outlook.models}
        servers = dict(after.placed)
        alone: dict[str, Seen] = {}
        rates = {name: wish.rate for name, wish in real.WISHES.items()}
        for group in groups(servers, rates):
            seen = stage.asked(group, REQUESTS_ALONE, _WARM_UP_ALONE)
            for name in group:
                alone[name] = _seen(seen, _of(stage.planned(name), name))
    _figures(bench, packed, alone)
    _summary(bench, outlook, told, moved=len(after.placed - before.placed))
    _table(bench, servers, packed, alone)
    yield


def _of(outlook: Outlook, name: str) -> ModelOutlook:
    return next(model for model in outlook.models if model.name == name)


def _seen(told: Mapping[str, Any], predicted: ModelOutlook) -> Seen:
    found = told["models"][predicted.name]
    return Seen(
        latencies=[second * 1000 for second in found["latencies"]],
        retried=found["retried"],
        failures=found["failures"],
        predicted=predicted,
    )


def _figures(bench: Bench, packed: Mapping[str, Seen], alone: Mapping[str, Seen]) -> None:
    for kind, found in (("packed", packed), ("alone", alone)):
        for name, seen in found.items():
            note = seen.told(real.WISHES[name].objective)
            bench.add(f"live, p99 {kind}, {name}", seen.p99, "ms", note=note)
    for kind, found in (("packed", packed), ("alone", alone)):
        promised = {name: seen for name, seen in found.items() if seen.is_promised}
        outside = [n for n, s in promised.items() if not s.p99 <= real.WISHES[n].objective]
        bench.add(
            f"live, {kind}, outside the objective against the plan", len(outside), "",
            note=f"of {len(promised)} that it said to be inside {', '.join(outside)}".strip(),
        )  # fmt: skip
        ratios = [seen.expected / seen.p99 for seen in found.values() if seen.latencies]
        bench.add(
            f"live, predicted over measured p99, {kind}", median(ratios), "",
            spread=spread(ratios),
        )  # fmt: skip
    every = [(name, seen) for found in (packed, alone) for name, seen in found.items()]
    failed, retried = (Counter[str]() for _ in range(2))
    for name, seen in every:
        failed.update({f"{name} {kind}": number for kind, number in seen.failures.items()})
        retried.update({f"{name} {kind}": number for kind, number in seen.retried.items()})
    asked = failed.total() + sum(len(seen.latencies) for _, seen in every)
    for told, kinds in (("retried", retried), ("failed", failed)):
        bench.add(
            f"live, {told} requests",
            kinds.total(),
            "",
            note=f"of {asked} {dict(kinds) or ''}".strip(),
        )


def _summary(bench: Bench, outlook: Outlook, told: Mapping[str, Any], *, moved: int) -> None:
    duties = ", ".join(f"{server.duty:.0%}" for server in outlook.servers)
    bench.add(
        "live, servers used", len(outlook.servers), "",
        note=f"duties {duties} as planned; {moved} models moved meanwhile",
    )  # fmt: skip
    late = f"99 % of the requests went out less than {told['late'] * 1000:.1f} ms late"
    bench.add("live, the client's share of a core", told["processor"] * 100, "%", note=late)


def _table(
    bench: Bench, servers: Mapping[str, str], packed: Mapping[str, Seen], alone: Mapping[str, Seen]
) -> None:
    numbers = {server: str(at) for at, server in enumerate(sorted(set(servers.values())), 1)}
    rows = [
        (
            name, numbers[servers[name]], f"{real.WISHES[name].rate:g}",
            str(real.WISHES[name].objective),
            *(text for seen in (packed[name], alone[name]) for text in _cells(seen)),
        )
        for name in sorted(packed)
    ]  # fmt: skip
    columns = (
        "model", "server", "rate, 1/s", "objective, ms", "p50 packed", "p99 packed", "predicted",
        "p50 alone", "p99 alone", "predicted",
    )  # fmt: skip
    bench.add_table("Ten models on two servers, and each without the others", columns, rows)


def _cells(seen: Seen) -> tuple[str, str, str]:
    middle = percentile(seen.latencies, 50) if seen.latencies else float("nan")
    return f"{middle:.1f}", f"{seen.p99:.1f}", f"{seen.expected:.1f}"
