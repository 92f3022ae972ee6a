"""The process that timing asks for bursts: one model, pinned, asked by lines of JSON.

The first line says what to load, each further one asks for a burst at a batch. Answers have the
seconds of each call and the memory that the model takes.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

from tightship.optimize import engine, evaluate, runtime
from tightship.optimize.contract import Contract
from tightship.optimize.data import Arrays, Dataset
from tightship.optimize.engine import Executable
from tightship.optimize.runtime import Outputs


def main() -> None:
    """Serve until standard input ends."""
    request = json.loads(sys.stdin.readline())
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: request["threads"]])
    contract = Contract.from_json(request["contract"])
    model = Executable.from_json(request["model"])
    samples = Dataset.load(Path(request["dataset"])).arrays
    feeds = {size: _feed(contract, samples, size) for size in request["batches"]}
    engine.prepare(model.engine)
    before = _resident("VmRSS")
    session = engine.load(model, request["threads"])
    evaluate.burst(session, feeds[1], 0.0, request["warmup"])
    sys.stdout.write("{}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        asked = json.loads(line)
        cpu, wall = evaluate.burst(session, feeds[asked["batch"]], asked["seconds"])
        grown = _resident("VmHWM") - before
        sys.stdout.write(json.dumps({"cpu": cpu, "wall": wall, "memory": grown}) + "\n")
        sys.stdout.flush()


def _feed(contract: Contract, samples: Arrays, size: int) -> Outputs:
    """The first samples, from the beginning again where there are too few."""
    chosen = {
        name: np.take(array, range(size), axis=0, mode="wrap") for name, array in samples.items()
    }
    return runtime.feed(contract, chosen, slice(0, size))


def _resident(field: str) -> int:
    """Bytes of this process in memory: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


if __name__ == "__main__":
    main()
