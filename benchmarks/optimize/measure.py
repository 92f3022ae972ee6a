"""Speed and answers of several files side by side, each in fresh pinned processes.

As `tightship.optimize.timing` does: a file may differ by a factor of two between processes, so each
round starts new ones, the original twice (A and A'), and they take turns in bursts. A round gives
one ratio for each file; the median over rounds counts. Here also other batches and OpenVINO.
"""

import json
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Self

import numpy as np
from benchmarks.optimize import environment
from benchmarks.optimize.executable import Executable
from tests.support import cache

from tightship.optimize import selection

Array = np.ndarray

BATCHES = (1, 8)
ORIGINAL = "original"
_SAME = "original, again"
_ROUNDS = 5
_BURSTS = 3
_BURST_SECONDS = 0.25
_WARM_UP_SECONDS = 0.1


class ModelError(Exception):
    """A file does not load or run; the message is the runtime's."""


class ModelProcess:
    """One child with one model; errors come as ModelError."""

    def __init__(self, executable: Executable, samples: Path, threads: int) -> None:
        self._child = subprocess.Popen(
            environment.command("benchmarks.optimize.run_model"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=cache.REPOSITORY,
            env=environment.variables(),
        )
        self._say({"executable": executable.to_json(), "samples": str(samples), "threads": threads})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.communicate()

    def _say(self, message: Mapping[str, Any]) -> None:
        if self._child.stdin is not None and self._child.poll() is None:
            self._child.stdin.write(json.dumps(message) + "\n")
            self._child.stdin.flush()

    def _hear(self) -> dict[str, Any]:
        line = self._child.stdout.readline() if self._child.stdout is not None else ""
        if not line:
            raise ModelError(f"the process ended with {self._child.wait()}")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise ModelError(answer["error"])
        return answer

    def ready(self) -> None:
        """Wait until the file is loaded."""
        self._hear()

    def burst(self, batch: int, seconds: float) -> list[float]:
        """CPU seconds of each call."""
        self._say({"batch": batch, "seconds": seconds})
        times: list[float] = self._hear()["cpu"]
        return times

    def answers(self, samples: Path, target: Path) -> list[Array]:
        """All outputs for all samples, in the order of the model's outputs."""
        self._say({"samples": str(samples), "answers": str(target)})
        self._hear()
        with np.load(target) as file:
            return [file[str(place)] for place in range(len(file.files))]


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """At one batch: seconds of a call of the original, and each file's speed against it.

    `noise` is how far two measurements of the original differ, as a share. A file without a
    number did not run.
    """

    seconds: float
    noise: float
    ratios: Mapping[str, float]


def answers(executable: Executable, inputs: Path, scratch: Path, threads: int) -> list[Array]:
    """All outputs of a file.

    Raises:
        ModelError: it does not load or run.
    """
    with ModelProcess(executable, inputs, threads) as process:
        process.ready()
        return process.answers(inputs, scratch / "answers.npz")


def speeds(
    original: Executable, others: Mapping[str, Executable], samples: Path
) -> dict[int, Speed]:
    """The speed of each at each batch; `samples` has as many samples as the greatest batch."""
    files = {ORIGINAL: original, **others, _SAME: original}
    rounds = [_round(files, samples) for _ in range(_ROUNDS)]
    return {batch: summary([found[batch] for found in rounds]) for batch in BATCHES}


def summary(rounds: list[dict[str, float]]) -> Speed:
    """Rounds of medians by name as one."""
    pairs = [(found[ORIGINAL], found[_SAME]) for found in rounds]
    names = set.intersection(*(set(found) for found in rounds)) - {ORIGINAL, _SAME}
    ratios = {
        name: median(
            (first + second) / 2 / found[name]
            for (first, second), found in zip(pairs, rounds, strict=True)
        )
        for name in sorted(names)
    }
    seconds = median(second for pair in pairs for second in pair)
    return Speed(seconds=seconds, noise=selection.noise_floor(pairs), ratios=ratios)


def _round(files: Mapping[str, Executable], samples: Path) -> dict[int, dict[str, float]]:
    with ExitStack() as stack:
        processes = {}
        for name, executable in files.items():
            process = stack.enter_context(ModelProcess(executable, samples, threads=1))
            try:
                process.ready()
                processes[name] = process
            except ModelError:
                if name in (ORIGINAL, _SAME):
                    raise
        return {batch: _bursts(processes, batch) for batch in BATCHES}


def _bursts(processes: Mapping[str, ModelProcess], batch: int) -> dict[str, float]:
    times: dict[str, list[float]] = {name: [] for name in processes}
    failed: set[str] = set()
    for turn in range(1 + _BURSTS):
        for name, process in processes.items():
            if name in failed:
                continue
            try:
                seconds = _BURST_SECONDS if turn else _WARM_UP_SECONDS
                calls = process.burst(batch, seconds)
            except ModelError:
                failed.add(name)
                continue
            times[name] += calls if turn else []
    return {name: median(calls) for name, calls in times.items() if name not in failed}
