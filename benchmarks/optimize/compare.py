"""One model: the optimizer, and beside it each of the tools that users pick by hand."""

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.models import MODELS
from benchmarks.optimize import candidates, environment, judge, measure, product, served
from benchmarks.optimize.executable import Executable
from benchmarks.optimize.measure import BATCHES, ModelError, Speed
from benchmarks.optimize.pick import PICKINGS
from benchmarks.optimize.product import Optimized
from benchmarks.optimize.rows import Row
from tests.support import triton

_MESSAGE = 160
_NOTES = {
    "onnxconverter fp16": "ONNX Runtime computes it in fp32 on CPUs: overflows of fp16 do not show"
}
_ITSELF = dict.fromkeys(BATCHES, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was found for one model. `rows` are those of the variants picked by hand."""

    name: str
    optimized: Optimized
    speeds: Mapping[int, Speed]
    original: Row
    chosen: Row
    rows: Sequence[Row]

    @property
    def noise(self) -> float:
        """What a bare speed-up may be off by, as a share, at the worse of the batches."""
        return max(speed.noise for speed in self.speeds.values())


def compare(name: str, scratch: Path) -> Comparison:
    """Everything about one model.

    Raises:
        ProductError: the optimizer failed on it.
        ModelError: the original does not run.
    """
    bench = _Bench(name, scratch)
    found, through = bench.optimize()
    bench.judge_by(found)
    original = replace(bench.row("original", bench.original), bare=_ITSELF, served=_ITSELF)
    why = candidates.unchanged(found.report) if found.unchanged else ""
    chosen, built = replace(original, name="tightship: unchanged", note=why), {}
    if not found.unchanged:
        built[f"tightship: {found.variant}"] = found.executable
    rows = {}
    for picking in PICKINGS:
        try:
            built[picking] = bench.pick(picking)
        except ModelError as error:
            rows[picking] = Row(name=picking, note=f"is not built: {error}")
    rows |= {variant: bench.row(variant, executable) for variant, executable in built.items()}
    runnable = {n: executable for n, executable in built.items() if rows[n].verdict is not None}
    speeds = measure.speeds(bench.original, runnable, bench.some)
    for variant in runnable:
        ratios = {b: speed.ratios.get(variant) for b, speed in speeds.items()}
        bare = {batch: ratio for batch, ratio in ratios.items() if ratio is not None}
        rows[variant] = replace(rows[variant], bare=bare)
    if not found.unchanged:
        chosen = replace(rows[f"tightship: {found.variant}"], served=through)
    return Comparison(
        name=name,
        optimized=found,
        speeds=speeds,
        original=original,
        chosen=chosen,
        rows=[rows[picking] for picking in PICKINGS],
    )


class _Bench:
    """One model's files, and what judges a variant of it."""

    def __init__(self, name: str, scratch: Path) -> None:
        self._name, self._scratch = name, scratch
        self._files = environment.files(name)
        self.original = Executable(file=self._files / "model.onnx")
        self._inputs, self.some = scratch / "inputs.npz", scratch / "some.npz"
        evaluation = self._files / "evaluation.npz"
        judge.split_inputs(evaluation, self._inputs, self.some, max(BATCHES))

    def optimize(self) -> tuple[Optimized, dict[int, float]]:
        """The optimizer's result, and its speed through Triton."""
        repository = self._scratch / "repository"
        repository.mkdir()
        with triton.serving(repository) as server:
            artifact = self._scratch / "artifact"
            found = product.optimize(self._name, self._files, artifact, server)
            if found.unchanged:
                return found, dict(_ITSELF)
            race = served.speeds(server, self.original.file, found, self.some)
            return found, asyncio.run(race)

    def judge_by(self, found: Optimized) -> None:
        """Take the original's answers for what others are compared with."""
        outputs = [tensor.name for tensor in found.contract.outputs]
        self._judge = judge.judge(
            MODELS[self._name].metric, self._files / "evaluation.npz", outputs,
            self._answers(self.original),
        )  # fmt: skip

    def row(self, name: str, executable: Executable) -> Row:
        """A variant's size and verdict; the reason where it does not load or run."""
        try:
            verdict = self._judge.verdict(self._answers(executable))
        except (ModelError, ValueError) as error:
            return Row(
                name=name, bytes=executable.bytes, note=f"does not run: {self._told(str(error))}"
            )
        note = _NOTES.get(name, "")
        return Row(name=name, bytes=executable.bytes, verdict=verdict, note=note)

    def _answers(self, executable: Executable) -> list[measure.Array]:
        threads = len(os.sched_getaffinity(0))
        return measure.answers(executable, self._inputs, self._scratch, threads)

    def pick(self, picking: str) -> Executable:
        """What a tool makes of the model by its default call.

        Raises:
            ModelError: it fails; the message is the last line of what it told.
        """
        folder = self._scratch / picking.replace(" ", "-")
        folder.mkdir()
        files = [self.original.file, self._files / "calibration.npz", folder]
        done = environment.run("benchmarks.optimize.pick", picking, *map(str, files))
        if done.returncode:
            told = (done.stderr or "").strip().splitlines() or [f"it ended with {done.returncode}"]
            raise ModelError(self._told(told[-1]))
        return Executable.from_json(json.loads(done.stdout.splitlines()[-1]))

    def _told(self, message: str) -> str:
        """A tool's message in short, without the folders that will be gone."""
        return message.replace(f"{self._scratch}/", "")[:_MESSAGE]
