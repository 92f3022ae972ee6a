"""Latency in fresh pinned processes, interleaved with the original, above an A/A noise floor.

One file in fresh processes may differ by a factor of two, while sessions within one process agree
to 2 %. So each round starts new processes: the original twice (A and A') and every candidate,
pinned to the same processors. They take turns in bursts. A round gives one ratio for each candidate
and one for A against A'; a speed-up counts only when its median is above the noise floor.
"""

import json
import select
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from tightship.optimize import selection
from tightship.optimize.budget import Budget, memory_limit
from tightship.optimize.contract import Contract
from tightship.optimize.engine import Executable
from tightship.optimize.sandbox import Limits, environment, restrict, undisturbed

_CHILD = "tightship.optimize.timing_child"
_LEAST_MEMORY = 1 << 20  # bytes; less than that is not told from nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Seconds of one call at one batch: medians over processes of the medians within one."""

    cpu_p50: float
    wall_p50: float
    wall_p99: float
    calls: int
    spread: tuple[float, float]  # least and greatest process median of the judged clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Timed:
    """A candidate beside the original. Speed-ups are medians over rounds of the paired ratios.

    `batched_speedup` is at the greatest batch that was timed, `memory_ratio` original / candidate.
    """

    latency: Latency
    speedup: float
    speedups: tuple[float, ...]
    batched: Latency
    batched_speedup: float
    memory: int
    memory_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """One timing of the original and some candidates. `noise` is a share: 0.05 means 5 %.

    `memory` is what a process grows by, in bytes, from loading the model and running it.
    """

    baseline: Latency
    batch: int
    batched: Latency
    memory: int
    noise: float
    clock: str  # "cpu" | "wall"
    rounds: int
    candidates: Mapping[str, Timed]
    lost: Mapping[str, str]  # those whose processes ended, and how

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

    @property
    def batches(self) -> tuple[int, ...]:
        """Sizes that are timed: a single sample, and the batch that throughput is taken at."""
        most = min(self.contract.max_batch, self.budget.throughput_batch)
        return (1, most) if most > 1 else (1,)


class _LostError(Exception):
    """The process of one of the models ended."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name)
        self.name, self.reason = name, reason


class _Runner:
    """One pinned child that holds one session and runs bursts on demand."""

    def __init__(self, timing: Timing, model: Executable) -> None:
        size = model.bytes
        limits = Limits.for_model(size, timing.budget.stage(size))
        with undisturbed():
            self._child = subprocess.Popen(  # noqa: S603 (our own interpreter and module)
                [sys.executable, "-P", "-m", _CHILD],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                cwd=timing.scratch,
                env=environment(timing.scratch),
                preexec_fn=lambda: restrict(limits),  # noqa: PLW1509 (no threads started before)
            )
        self._say(
            {
                "model": model.to_json(),
                "contract": timing.contract.to_json(),
                "dataset": str(timing.dataset),
                "threads": timing.threads,
                "warmup": timing.budget.timing_warmup,
                "batches": timing.batches,
            }
        )
        self.seconds: dict[int, dict[str, list[float]]] = {
            batch: {"cpu": [], "wall": []} for batch in timing.batches
        }
        self.memory = 0
        self._patience = timing.budget.stage(size)

    def _say(self, message: Mapping[str, Any]) -> None:
        """One line; whether it was heard shows in the answer."""
        if self._child.stdin is not None:
            with suppress(BrokenPipeError):
                self._child.stdin.write(json.dumps(message) + "\n")
                self._child.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        stream = self._child.stdout
        if stream is not None and not select.select([stream], [], [], self._patience)[0]:
            self._child.kill()
            raise ChildProcessError(f"it took longer than {self._patience:g} s")
        line = stream.readline() if stream is not None else ""
        if not line:
            raise ChildProcessError(f"its process ended with {self._child.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ready(self) -> None:
        """Wait until the session is loaded and warm."""
        self._hear()

    def burst(self, seconds: float) -> None:
        """Let it run for that long at each batch while all others wait."""
        for batch, found in self.seconds.items():
            self._say({"seconds": seconds, "batch": batch})
            answer = self._hear()
            for clock, values in found.items():
                values.extend(answer[clock])
            self.memory = answer["memory"]

    def close(self) -> None:
        """End the child."""
        with suppress(BrokenPipeError):
            self._child.communicate()


def measure(timing: Timing, original: Path, candidates: Mapping[str, Executable]) -> Timings:
    """Time candidates against the original; one whose process ends is lost, the others go on.

    Raises:
        ChildProcessError: the original's process ended.
    """
    timing.scratch.mkdir(parents=True, exist_ok=True)
    clock = "cpu" if timing.threads == 1 else "wall"
    rounds: list[dict[str, _Runner]] = []
    alive, lost = dict(candidates), dict[str, str]()
    while not _enough(timing.budget, rounds, clock):
        try:
            rounds.append(_round(timing, original, alive))
        except _LostError as end:
            if alive.pop(end.name, None) is None:
                raise ChildProcessError(f"the original cannot be timed: {end.reason}") from end
            lost[end.name] = end.reason
    batch = timing.batches[-1]
    originals = [r[name] for r in rounds for name in ("A", "A'")]
    memory = _memory(originals)
    return Timings(
        baseline=_latency(originals, clock, 1),
        batch=batch,
        batched=_latency(originals, clock, batch),
        memory=memory,
        noise=selection.noise_floor(_pairs(rounds, clock)),
        clock=clock,
        rounds=len(rounds),
        candidates={name: _timed(rounds, name, clock, batch, memory) for name in alive},
        lost=lost,
    )


def _timed(
    rounds: Sequence[Mapping[str, _Runner]], name: str, clock: str, batch: int, memory: int
) -> Timed:
    runners = [r[name] for r in rounds]
    ratios = _ratios(rounds, name, clock, 1)
    own = _memory(runners)
    return Timed(
        latency=_latency(runners, clock, 1),
        speedup=median(ratios),
        speedups=tuple(ratios),
        batched=_latency(runners, clock, batch),
        batched_speedup=median(_ratios(rounds, name, clock, batch)),
        memory=own,
        memory_ratio=memory / own,
    )


def _ratios(
    rounds: Sequence[Mapping[str, _Runner]], name: str, clock: str, batch: int
) -> list[float]:
    pairs = _pairs(rounds, clock, batch)
    return [
        (a + b) / 2 / _median(r[name], clock, batch)
        for (a, b), r in zip(pairs, rounds, strict=True)
    ]


def _memory(runners: Sequence[_Runner]) -> int:
    return max(_LEAST_MEMORY, int(median(runner.memory for runner in runners)))


def _pairs(
    rounds: Sequence[Mapping[str, _Runner]], clock: str, batch: int = 1
) -> list[tuple[float, float]]:
    return [(_median(r["A"], clock, batch), _median(r["A'"], clock, batch)) for r in rounds]


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
        lost={name: reason for part in parts for name, reason in part.lost.items()},
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
        for name, runner in runners.items():
            _asked(name, runner.ready)
        for _ in range(timing.budget.timing_bursts):
            for name, runner in runners.items():
                _asked(name, partial(runner.burst, timing.budget.timing_burst_seconds))
        return runners


def _asked(name: str, call: Callable[[], None]) -> None:
    try:
        call()
    except ChildProcessError as error:
        raise _LostError(name, str(error)) from error


def _median(runner: _Runner, clock: str, batch: int) -> float:
    return median(runner.seconds[batch][clock])


def _latency(runners: Sequence[_Runner], clock: str, batch: int) -> Latency:
    medians = [_median(runner, clock, batch) for runner in runners]
    walls = sorted(seconds for runner in runners for seconds in runner.seconds[batch]["wall"])
    return Latency(
        cpu_p50=median(_median(runner, "cpu", batch) for runner in runners),
        wall_p50=median(_median(runner, "wall", batch) for runner in runners),
        wall_p99=walls[min(len(walls) - 1, int(0.99 * len(walls)))],
        calls=len(walls),
        spread=(min(medians), max(medians)),
    )
