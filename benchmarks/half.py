"""Half precision of Magika on processors alone: what its fp16 would answer, told before any GPU.

    python -m benchmarks.half

ONNX Runtime computes fp16 files in fp32 on processors, and so hides what overflows. The simulation
that the gate judges does not: of every node in fp16, and of those that the range scan leaves there.
The protected file is then served by a real Triton.
"""

import asyncio
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

import numpy as np
from benchmarks.optimize.judge import Judge, judge
from benchmarks.record import Bench
from onnx import ModelProto
from tests.e2e.support import examples
from tests.support import triton

from tightship.api.agent import ServingConfig
from tightship.api.v1alpha1 import Metric
from tightship.optimize import graph, runtime, serving
from tightship.optimize.budget import cpus
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.data import Dataset
from tightship.optimize.gate.verdict import Verdict
from tightship.optimize.runtime import Outputs
from tightship.optimize.techniques import Material, half
from tightship.triton import config_pbtxt
from tightship.triton.client import TritonClient
from tightship.triton.repository import Repository

_INPUT, _OUTPUT, _NAME = "bytes", "target_label", "half"
_BATCH = 8
_CONTRACT = Contract(
    inputs=(Tensor(_INPUT, "int32", (None, 2048)),),
    outputs=(Tensor(_OUTPUT, "float32", (None, 214)),),
    max_batch=_BATCH,
    opset=17,
    nodes=0,
    parameters=0,
    bytes=0,
)


class _Magika:
    """The example's files, and what judges answers to its evaluation data."""

    def __init__(self) -> None:
        self.files = examples.files() / "magika"
        with np.load(self.files / "evaluation.npz") as file:
            self._samples = Dataset({_INPUT: file[_INPUT]})
        reference = self._answers(self.files / "model.onnx", optimise=True)
        self._judge: Judge = judge(
            Metric.ACCURACY, self.files / "evaluation.npz", [_OUTPUT], [reference[_OUTPUT]]
        )

    def _answers(self, model: Path, *, optimise: bool) -> Outputs:
        session = runtime.session(model, cpus(), optimise=optimise)
        return runtime.answers(session, _CONTRACT, self._samples, _BATCH)

    def verdict(self, model: Path, *, simulation: bool) -> Verdict:
        """The gate on a file's answers; a simulation is run node by node, as it is written."""
        return self._judge.verdict([self._answers(model, optimise=not simulation)[_OUTPUT]])

    async def served(self, model: Path, server: triton.Triton) -> Verdict:
        """The gate on what Triton answers with the file."""
        config = serving.completed(_CONTRACT, None, threads=1).text
        effective = config_pbtxt.effective_config(
            config, _NAME, ServingConfig(dynamic_batching=False)
        )
        repository = Repository(server.repository)
        repository.publish(_NAME, "1", files=model.parent, config=effective)
        async with TritonClient(server.http) as client:
            await client.load(_NAME)
            rows = self._samples.arrays[_INPUT]
            parts = [
                (await client.infer(_NAME, {_INPUT: rows[start : start + _BATCH]}))[_OUTPUT]
                for start in range(0, len(rows), _BATCH)
            ]
        return self._judge.verdict([np.concatenate(parts)])

    def material(self) -> Material:
        """What the range scan looks at."""
        with np.load(self.files / "calibration.npz") as file:
            return Material(contract=_CONTRACT, calibration=Dataset(dict(file)), batch=_BATCH)


def _saved(model: ModelProto, folder: Path) -> Path:
    folder.mkdir(parents=True)
    graph.save(model, folder / "model.onnx")
    return folder / "model.onnx"


def measure(bench: Bench, scratch: Path) -> None:
    """All figures."""
    magika = _Magika()
    model, types = half.typed(graph.load(magika.files / "model.onnx"))
    every = half.half_nodes(model, types, ranges={})
    plain = _saved(half.converted(model, types, every), scratch / "plain")
    simulated = _saved(half.simulated(model, types, every), scratch / "plain-simulated")
    _add(bench, "unprotected, in this runtime", magika.verdict(plain, simulation=False))
    _add(bench, "unprotected, simulated", magika.verdict(simulated, simulation=True))
    target = scratch / "protected" / "model.onnx"
    target.parent.mkdir()
    applied = half.apply(magika.files / "model.onnx", target, {}, magika.material())
    told = Path(applied.simulation or "").rename(scratch / "protected-simulated.onnx")
    found = magika.verdict(told, simulation=True)
    _add(bench, "protected, simulated", found, note="; ".join(applied.notes))
    with triton.serving(scratch / "repository") as server:
        served = asyncio.run(magika.served(target, server))
    _add(bench, "protected, through Triton", served)


def _add(bench: Bench, name: str, found: Verdict, note: str = "") -> None:
    """The metric, and the most that may be lost."""
    told = f"original {found.before:.4f}, {found.n} samples" + (f"; {note}" if note else "")
    bench.add(f"accuracy, {name}", round(found.after, 4), "", note=told)
    bench.add(f"may lose, {name}", round(found.upper, 4), "", note="at 95 % confidence")


def main() -> int:
    """Measures; 1 when a figure misses its target."""
    bench = Bench("half")
    with tempfile.TemporaryDirectory(prefix="tightship-bench-") as folder, chdir(folder):
        scratch = Path(folder)
        (scratch / "repository").mkdir()
        measure(bench, scratch)
    sys.stdout.write(f"written: {bench.write()}\n")
    return int(any(figure.ok is False for figure in bench.figures))


if __name__ == "__main__":
    sys.exit(main())
