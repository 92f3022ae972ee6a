"""The line from a resource to a served model: demo, disruptions, rest, 500 models.

    python -m benchmarks.line [PART ...]

Parts are demo, disruptions, rest and control-plane. Without a name all run and results/line.json is
written; with names only these run and nothing is written.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable

from benchmarks import control_plane
from benchmarks.record import Bench
from tests.e2e import demo
from tests.e2e.support import cluster, deployment, disruption, examples, rest
from tests.e2e.support.client import Counts
from tests.e2e.support.workspace import Workspace
from tests.support import cache
from tests.support.tools import CLUSTER

_REST_SECONDS = 120.0


def run_demo(bench: Bench) -> None:
    """From no cluster and an empty store, then from no cluster and the store that is left."""
    shutil.rmtree(cache.folder() / "store", ignore_errors=True)
    for name in ("demo first run", "demo second run"):
        subprocess.run([CLUSTER, "down"], check=True)
        run = demo.Demo()
        workspace = run.run()
        note = "new cluster, tools and images built before"
        bench.add(name, round(run.seconds, 1), "s", note=note)
    for example in examples.NAMES:
        _model(bench, workspace, example)
    bench.add("demo servers", len(workspace.servers()), "", note="for all three models")
    workspace.delete()


def _model(bench: Bench, workspace: Workspace, name: str) -> None:
    status = workspace.status(name)
    result = status["optimization"]
    metric, latency, size = result["metric"], result["latency"], result["size"]
    variant = status["artifact"]["variant"]
    bench.add(f"demo {name} speed-up", float(result["speedup"]), "x", note=f"variant {variant}")
    bench.add(f"demo {name} {metric['name']} before", float(metric["before"]), "")
    bench.add(f"demo {name} {metric['name']} after", float(metric["after"]), "")
    bench.add(f"demo {name} p50 before", _milliseconds(latency["before"]), "ms")
    bench.add(f"demo {name} p50 after", _milliseconds(latency["after"]), "ms")
    bench.add(f"demo {name} size after", size["after"] / size["before"], "", note="share of before")


def _milliseconds(duration: str) -> float:
    number = float(duration.removesuffix("s").removesuffix("m"))
    return number if duration.endswith("ms") else number * 1000


def run_disruptions(bench: Bench) -> None:
    """What clients notice of each disruption, with one copy and with two."""
    with disruption.scene(deployment.prepare(cluster.found()), "bench-disruptions") as scene:
        for name in disruption.DISRUPTIONS:
            outcome = disruption.measure(scene, name)
            for copies, counts in (("one copy", outcome.one), ("two copies", outcome.two)):
                _failed(bench, f"{copies}, {{}}, {name}", counts)


def _failed(bench: Bench, name: str, counts: Counts) -> None:
    seen = f"of {counts.requests}"
    raw, retried = dict(counts.raw) or "", dict(counts.retried) or ""
    begin = f"failed requests, {name}"
    bench.add(begin.format("raw"), counts.raw_failures, "", note=f"{seen} {raw}".strip())
    bench.add(begin.format("retried"), counts.failures, "", note=f"{seen} {retried}".strip())
    bench.add(begin.format("gap"), counts.gap, "s", note="longest time between two right answers")


def run_rest(bench: Bench) -> None:
    """Two minutes with ten models and no change."""
    with rest.ten_models(deployment.prepare(cluster.found()), "bench-rest") as quiet:
        seen = rest.observe(quiet, seconds=_REST_SECONDS)
    leases = (
        f"in {_REST_SECONDS:g} s, ten models; {seen.requests.leases} renewals of the Lease apart"
    )
    bench.add("idle writes", seen.requests.writes, "", note=leases)
    bench.add("idle writes, CPU meanwhile", round(seen.cpu * 100, 2), "%", note="of one core")
    bench.add("memory, operator with ten models", round(seen.memory / 2**20, 1), "MiB")


PARTS: dict[str, Callable[[Bench], None]] = {
    "demo": run_demo,
    "disruptions": run_disruptions,
    "rest": run_rest,
    "control-plane": control_plane.run,
}


def main(names: list[str]) -> int:
    """Runs the parts; 1 when a figure misses its target."""
    unknown = sorted(set(names) - set(PARTS))
    if unknown:
        sys.stderr.write(f"there is no part {unknown[0]!r}; there are {', '.join(PARTS)}\n")
        return 2
    bench = Bench("line")
    for name in names or PARTS:
        PARTS[name](bench)
    if not names:
        sys.stdout.write(f"written: {bench.write()}\n")
    return int(any(figure.ok is False for figure in bench.figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
