"""Part `memory`: what the planner counts for models against what real servers hold of them.

Two CPU servers hold ten real models, but not two copies of each. 200 times a random model gets
another number of copies, as by `kubectl scale`; some of the copies have to wait for room. After
each step, once the pool is at rest, every copy that was loaded is asked the largest batch that it
takes, since a client may ask it at any time, and each server's memory is read from the kernel.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.packing import real, rest, scene, walk
from benchmarks.packing.walk import Look
from benchmarks.record import Bench
from tests.e2e.support.client import NAME as CLIENT
from tests.e2e.support.client import Client
from tests.e2e.support.conversation import Conversation, conversation

STEPS = 200
COPIES = 2
_SEED = 1
_NAMESPACE = "bench-packing-memory"
_MIB = 2**20


@dataclass
class Server:
    """A server's meter, and what its Triton held before it had any model."""

    meter: Conversation
    empty: int

    def look(self, name: str, entry: Mapping[str, Any]) -> Look:
        """Beside what the pool's status counts for it."""
        read = self.meter.ask()
        return Look(
            server=name,
            models=entry["models"],
            predicted=entry["memory"]["used"],
            measured=max(1, read["pss"] - self.empty),
            working_set=read["workingSet"],
            peak=read["peak"],
            limit=read["limit"],
            kills=read["kills"],
            pid=read["pid"],
        )


@dataclass
class Course:
    """What was seen so far. `alone` are single loads: model, predicted and measured bytes."""

    looks: list[Look] = field(default_factory=list)
    alone: list[tuple[str, float, float]] = field(default_factory=list)
    refused: int = 0
    unsettled: int = 0
    slowest: float = 0.0
    failures: list[str] = field(default_factory=list)


def run(bench: Bench, _: Iterable[int]) -> Iterator[None]:
    """Adds the figures; sizes are those of the ten models, whatever is asked."""
    with scene.opened(_NAMESPACE) as made, ExitStack() as stack:
        servers = {name: _server(stack, made, name) for name in made.addresses()}
        made.serve()
        client = Client(made.kubectl, made.namespace, made.workspace.cluster.images["operator"])
        for source in real.sources():
            client.send_arrays(f"{source.name}.npz", source.requests())
        asker = stack.enter_context(
            conversation(made.kubectl, made.namespace, CLIENT, CLIENT, "asker.py")
        )
        course = _Walk(made, servers, asker).course()
        restarts = sum(
            status["restartCount"]
            for pod in made.workspace.servers()
            for status in pod["status"]["containerStatuses"]
        )
    _figures(bench, course, restarts)
    yield


def _server(stack: ExitStack, made: scene.Scene, name: str) -> Server:
    meter = stack.enter_context(
        conversation(made.kubectl, made.namespace, name, "agent", "meter.py")
    )
    return Server(meter, meter.ask()["pss"])


class _Walk:
    """The steps, one after the other."""

    def __init__(
        self, made: scene.Scene, servers: Mapping[str, Server], asker: Conversation
    ) -> None:
        self._scene = made
        self._servers = servers
        self._asker = asker
        self._addresses = made.addresses()
        self._placed: frozenset[tuple[str, str]] = frozenset()
        self._course = Course()

    def course(self) -> Course:
        """Everything, from one copy of each model on."""
        self._look()
        names = [source.name for source in real.sources()]
        for model, copies in walk.steps(names, COPIES, STEPS, _SEED):
            self._scene.kubectl(
                "scale", f"om/{model}", "-n", self._scene.namespace, f"--replicas={copies}"
            )
            self._look()
        return self._course

    def _look(self) -> None:
        """Waits for rest, asks what came, and reads all servers."""
        now = rest.wait(self._scene)
        course = self._course
        course.unsettled += not now.settled
        course.slowest = max(course.slowest, now.seconds)
        course.refused += bool(now.waiting)
        added = sorted(now.placed - self._placed)
        gone = self._placed - now.placed
        for model, server in added:
            self._ask(model, server, now.batches[model])
        self._placed = now.placed
        looks = [self._servers[name].look(name, entry) for name, entry in now.servers.items()]
        if len(added) == 1 and not gone:
            self._single(*added[0], looks)
        course.looks += looks

    def _single(self, model: str, server: str, looks: list[Look]) -> None:
        """One copy came and none went: what it took by both counts."""
        before = next((k for k in reversed(self._course.looks) if k.server == server), None)
        after = next(look for look in looks if look.server == server)
        if before is not None and before.pid == after.pid:
            growth = after.predicted - before.predicted, after.measured - before.measured
            self._course.alone.append((model, *growth))

    def _ask(self, model: str, server: str, rows: int) -> None:
        answer = self._asker.ask(
            {
                "address": self._addresses[server],
                "model": model,
                "samples": f"/data/{model}.npz",
                "rows": rows,
            }
        )
        if "error" in answer:
            self._course.failures.append(f"{model} on {server}: {answer['error']}")


def _figures(bench: Bench, course: Course, restarts: int) -> None:
    looks = course.looks
    errors = [look.error * 100 for look in looks]
    size = [abs(error) for error in errors]
    bias = f"signed median {median(errors):+.1f} %, from {min(errors):+.0f} to {max(errors):+.0f} %"
    note = f"predicted over measured of a server; {bias}"
    bench.add("memory error p50", walk.percentile(size, 50), "%", note=note)
    bench.add(
        "memory error p95", walk.percentile(size, 95), "%", note=f"{len(looks)} looks at a server"
    )
    most = max(look.working_set / look.limit * 100 for look in looks)
    peak = max(look.peak / look.limit * 100 for look in looks)
    bench.add(
        "memory, largest share of the limit", most, "%",
        note=f"what the kernel cannot drop; with its page cache {peak:.0f} %",
    )  # fmt: skip
    lives = f"containers restarted {restarts} times, Triton {walk.restarts(looks)} times"
    bench.add("memory, out-of-memory kills", walk.kills(looks), "", note=lives)
    failed = "; ".join(course.failures[:2])
    bench.add("memory, failed requests", len(course.failures), "", note=failed or None)
    bench.add("memory, steps", STEPS, "", note=f"{len(real.sources())} models, seed {_SEED}")
    held = median(look.models for look in looks)
    note = f"in the others {held:g} copies on a server in the median"
    bench.add("memory, steps refused for want of room", course.refused, "", note=note)
    slowest = f"within {rest.SECONDS:g} s; the slowest took {course.slowest:.0f} s"
    bench.add("memory, steps without rest", course.unsettled, "", note=slowest)
    rows = [
        (model, str(count), f"{predicted / _MIB:.0f}", f"{measured / _MIB:.0f}")
        for model, (predicted, measured, count) in walk.by_model(course.alone).items()
    ]
    columns = ("model", "loads", "counted, MiB", "grown, MiB")
    bench.add_table("Memory of one copy on a server with others, medians", columns, rows)
