"""Latency in fresh pinned processes, interleaved with the original, above an A/A noise floor.

One file in fresh processes may differ by a factor of two, while sessions within one process agree
to 2 %. So each round starts new processes: the original twice (A and A') and every candidate,
pinned to the same processors. They take turns in bursts. A round gives one ratio for each candidate
and one for A against A'; a speed-up counts only when its median is above the noise floor.
"""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from tightship.optimize import engine, evaluate, runtime, selection
from tightship.optimize.budget import Budget, memory_limit
from tightship.optimize.contract import Contract
from tightship.optimize.data import Dataset
from tightship.optimize.engine import Executable
from tightship.optimize.sandbox import Limits, environment, restrict

_MODULE = "tightship.optimize.timing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds of one call at batch 1: medians over processes of the medians within one."""

    cpu_p50: float
    wall_p50: float
    wall_p99: float
    calls: int
    spread: tuple[float, float]  # least and greatest process median of the judged clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A candidate beside the original. `speedup` is the median over rounds of the paired ratio."""

    latency: Latency
    speedup: float
    speedups: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """One timing of the original and some candidates. `noise` is a share: 0.05 means 5 %."""

    baseline: Latency
    noise: float
    clock: str  # "cpu" | "wall"
    rounds: int
    candidates: Mapping[str, Timed]

    def to_json(self) -> dict[str, Any]:
        """JSON value."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What to time with."""

    contract: Contract
    dataset: Path
    threads: int
    scratch: Path
    budget: Budget


class _Runner:
    """One pinned child that holds one session and runs bursts on demand."""

    def __init__(self, timing: Timing, model: Executable) -> None:
        size = model.bytes
        limits = Limits.for_model(size, timing.budget.stage_seconds)
        self._child = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
            [sys.executable, "-P", "-m", _MODULE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=timing.scratch,
            env=environment(timing.scratch),
            preexec_fn=lambda: restrict(limits),  # noqa: PLW1509 (no threads are started before)
        )
        self._say(
            {
                "model": model.to_json(),
                "contract": timing.contract.to_json(),
                "dataset": str(timing.dataset),
                "threads": timing.threads,
                "warmup": timing.budget.timing_warmup,
            }
        )
        self.cpu: list[float] = []
        self.wall: list[float] = []

    def _say(self, message: Mapping[str, Any]) -> None:
        if self._child.stdin is not None:
            self._child.stdin.write(json.dumps(message) + "\n")
            self._child.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        line = self._child.stdout.readline() if self._child.stdout is not None else ""
        if not line:
            raise ChildProcessError(f"a timing process ended with {self._child.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ready(self) -> None:
        """Wait until the session is loaded and warm."""
        self._hear()

    def burst(self, seconds: float) -> None:
        """Let it run for that long while all others wait."""
        self._say({"seconds": seconds})
        answer = self._hear()
        self.cpu += answer["cpu"]
        self.wall += answer["wall"]

    def close(self) -> None:
        """End the child."""
        with suppress(BrokenPipeError):
            self._child.communicate()


def measure(timing: Timing, original: Path, candidates: Mapping[str, Executable]) -> Timings:
    """Time candidates against the original.

    Raises:
        ChildProcessError: a process ended while it was timed.
    """
    timing.scratch.mkdir(parents=True, exist_ok=True)
    clock = "cpu" if timing.threads == 1 else "wall"
    rounds: list[dict[str, _Runner]] = []
    while not _enough(timing.budget, rounds, clock):
        rounds.append(_round(timing, original, candidates))
    pairs = _pairs(rounds, clock)
    timed = {}
    for name in candidates:
        ratios = [
            (a + b) / 2 / _median(r[name], clock) for (a, b), r in zip(pairs, rounds, strict=True)
        ]
        runners = [r[name] for r in rounds]
        timed[name] = Timed(
            latency=_latency(runners, clock), speedup=median(ratios), speedups=tuple(ratios)
        )
    originals = [r[name] for r in rounds for name in ("A", "A'")]
    return Timings(
        baseline=_latency(originals, clock),
        noise=selection.noise_floor(pairs),
        clock=clock,
        rounds=len(rounds),
        candidates=timed,
    )


def _pairs(rounds: Sequence[Mapping[str, _Runner]], clock: str) -> list[tuple[float, float]]:
    return [(_median(r["A"], clock), _median(r["A'"], clock)) for r in rounds]


def _enough(budget: Budget, rounds: Sequence[Mapping[str, _Runner]], clock: str) -> bool:
    """Whether the rounds agree so well that further ones would say nothing new."""
    if len(rounds) < budget.timing_processes_min:
        return False
    if len(rounds) >= budget.timing_processes:
        return True
    return selection.deviation(_pairs(rounds, clock), 1.0) <= budget.timing_calm


def merged(parts: Sequence[Timings]) -> Timings:
    """Several timings as one; the noise is the greatest of theirs."""
    return replace(
        parts[0],
        noise=max(part.noise for part in parts),
        candidates={name: timed for part in parts for name, timed in part.candidates.items()},
    )


def chunks(names: Sequence[str], model_bytes: int) -> list[list[str]]:
    """Candidates that may be timed side by side within half of the memory."""
    each = 3 * model_bytes + 128 * 2**20
    size = max(1, memory_limit() // 2 // each - 2)
    return [list(names[start : start + size]) for start in range(0, len(names), size)]


def _round(
    timing: Timing, original: Path, candidates: Mapping[str, Executable]
) -> dict[str, _Runner]:
    with ExitStack() as stack:
        runners = {}
        a = Executable(original)
        for name, model in {"A": a, **candidates, "A'": a}.items():
            runners[name] = _Runner(timing, model)
            stack.callback(runners[name].close)
        for runner in runners.values():
            runner.ready()
        for _ in range(timing.budget.timing_bursts):
            for runner in runners.values():
                runner.burst(timing.budget.timing_burst_seconds)
        return runners


def _median(runner: _Runner, clock: str) -> float:
    return median(runner.cpu if clock == "cpu" else runner.wall)


def _latency(runners: Sequence[_Runner], clock: str) -> Latency:
    medians = [_median(runner, clock) for runner in runners]
    walls = sorted(seconds for runner in runners for seconds in runner.wall)
    return Latency(
        cpu_p50=median(_median(runner, "cpu") for runner in runners),
        wall_p50=median(_median(runner, "wall") for runner in runners),
        wall_p99=walls[min(len(walls) - 1, int(0.99 * len(walls)))],
        calls=len(walls),
        spread=(min(medians), max(medians)),
    )


def main() -> None:
    """The child's side: one line of JSON says what to load, each further line asks for a burst."""
    request = json.loads(sys.stdin.readline())
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: request["threads"]])
    contract = Contract.from_json(request["contract"])
    session = engine.load(Executable.from_json(request["model"]), request["threads"])
    dataset = Dataset.load(Path(request["dataset"]))
    feed = runtime.feed(contract, dataset.arrays, slice(0, 1))
    evaluate.burst(session, feed, 0.0, request["warmup"])
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        cpu, wall = evaluate.burst(session, feed, json.loads(line)["seconds"])
        sys.stdout.write(json.dumps({"cpu": cpu, "wall": wall}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
