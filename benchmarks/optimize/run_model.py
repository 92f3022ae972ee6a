"""Runs one file in its runtime; the side of the child, in the benchmark's own environment.

Reads a request as a line of JSON, then does what each further line asks:
`{"answers": FILE, "samples": FILE}` writes the outputs for all samples, and
`{"batch": N, "seconds": S}` calls with the first samples for so long and tells each call's times.
An error is an answer too.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.optimize.executable import ONNXRUNTIME, Executable

_BATCH = 8
_LEAST = 3

Arrays = dict[str, np.ndarray]
Model = Callable[[Arrays], list[np.ndarray]]


def load(executable: Executable, threads: int) -> Model:
    """The file in its runtime: takes inputs by name, gives outputs in their order."""
    if executable.backend == ONNXRUNTIME:
        return _onnxruntime(executable, threads)
    return _openvino(executable, threads)


def _onnxruntime(executable: Executable, threads: int) -> Model:
    import onnxruntime as ort  # noqa: PLC0415 (each runtime alone)

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = ort.InferenceSession(
        str(executable.file), options, providers=["CPUExecutionProvider"]
    )

    def call(feed: Arrays) -> list[np.ndarray]:
        found: list[np.ndarray] = session.run(None, feed)
        return found

    return call


def _openvino(executable: Executable, threads: int) -> Model:
    import openvino as ov  # noqa: PLC0415 (likewise)

    properties = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,
        **executable.properties,
    }
    compiled = ov.Core().compile_model(str(executable.file), "CPU", properties)
    request = compiled.create_infer_request()

    def call(feed: Arrays) -> list[np.ndarray]:
        # Not by `infer`: with one thread it swallows an error and gives the answer before.
        request.start_async(feed, share_inputs=True)
        request.wait()
        return [request.get_output_tensor(n).data.copy() for n in range(len(compiled.outputs))]

    return call


def _feed(samples: Path) -> Arrays:
    with np.load(samples) as file:
        return dict(file)


def answers(model: Model, samples: Path, target: Path) -> dict[str, Any]:
    """All samples through the model, in batches; outputs are called by their places."""
    feed = _feed(samples)
    count = len(next(iter(feed.values())))
    parts = [
        model({name: array[start : start + _BATCH] for name, array in feed.items()})
        for start in range(0, count, _BATCH)
    ]
    joined = enumerate(np.concatenate(outputs) for outputs in zip(*parts, strict=True))
    arrays: dict[str, Any] = {str(place): output for place, output in joined}
    np.savez(target, **arrays)
    return {}


def burst(model: Model, feed: Arrays, seconds: float) -> dict[str, Any]:
    """CPU and wall seconds of each call."""
    cpu: list[float] = []
    wall: list[float] = []
    end = time.perf_counter() + seconds
    while len(wall) < _LEAST or time.perf_counter() < end:
        started, used = time.perf_counter(), time.process_time()
        model(feed)
        cpu.append(time.process_time() - used)
        wall.append(time.perf_counter() - started)
    return {"cpu": cpu, "wall": wall}


def main() -> None:
    """Obeys the parent until it closes the pipe."""
    request = json.loads(sys.stdin.readline())
    threads = request["threads"]
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    # What runtimes print is no answer.
    told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def say(act: Callable[[], dict[str, Any]]) -> None:
        try:
            answer = act()
        except Exception as error:  # noqa: BLE001 (the runtimes' errors share no base; it is told)
            answer = {"error": " ".join(str(error).split())[:300]}
        told.write(json.dumps(answer) + "\n")
        told.flush()

    models: list[Model] = []

    def opened() -> dict[str, Any]:
        models.append(load(Executable.from_json(request["executable"]), threads))
        return {}

    say(opened)
    for line in sys.stdin:
        asked = json.loads(line)
        if "answers" in asked:
            files = Path(asked["samples"]), Path(asked["answers"])
            say(lambda files=files: answers(models[0], *files))  # type: ignore[misc]
        else:
            feed = {n: a[: asked["batch"]] for n, a in _feed(Path(request["samples"])).items()}
            say(lambda a=asked, f=feed: burst(models[0], f, a["seconds"]))  # type: ignore[misc]


if __name__ == "__main__":
    main()
