"""Training techniques on real data: what each makes of an original, on images that none has seen.

    python -m benchmarks.training [PART ...]

Parts are digits and mnist. Without a name both run and results/training.json is written; with names
only these run and nothing is written. Everything is seeded. Settings were chosen on the validation
images; the test images judge the outcome alone.
"""

import sys
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean, stdev

import numpy as np
from benchmarks.record import Bench
from benchmarks.trainers import TASKS, Trainer
from scipy import stats
from torch import nn

from tightship.api.training import TrainingOptions
from tightship.optimize import runtime, timing
from tightship.optimize.budget import Budget
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.data import Dataset
from tightship.optimize.engine import Executable
from tightship.optimize.timing import Timing
from tightship.optimize.training import channels, export, loop, separable, students
from tightship.optimize.training.loop import History
from tightship.optimize.training.proposal import Made, parameters
from tightship.optimize.training.subject import Subject

SEEDS = range(5)
SHARE = {"share": 0.68}  # of the channels: a tenth of the parameters is left
_BASE = TrainingOptions(
    learning_rate=2e-3, alpha=0.7, temperature=3.0, patience=15, threads=2, seconds=3600
)
_MIXED_EPOCHS = 4  # fp16 takes thirty times as long on CPUs as fp32
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Course:
    """How the models of one set are trained, and the precisions that are compared on it."""

    original: TrainingOptions
    tuned: TrainingOptions
    student: TrainingOptions
    precisions: tuple[str, ...]


COURSES: Mapping[str, Course] = {
    "digits": Course(
        original=replace(_BASE, epochs=40),
        tuned=replace(_BASE, epochs=60),
        student=replace(_BASE, epochs=60),
        precisions=("fp32", "bf16", "fp16"),
    ),
    "mnist": Course(
        original=replace(_BASE, epochs=20, precision="bf16"),
        tuned=replace(_BASE, epochs=30, precision="bf16"),
        student=replace(_BASE, epochs=20, precision="bf16"),
        precisions=("fp32", "bf16"),
    ),
}


@dataclass(frozen=True)
class Original:
    """A trained original as the others are compared with it."""

    name: str
    course: Course
    trainer: Trainer
    contract: Contract
    folder: Path
    parameters: int
    accuracy: float

    def subject(self, options: TrainingOptions) -> Subject:
        """The trainer with other options."""
        return Subject(self.trainer, options)

    def exported(self, model: nn.Module, name: str) -> Path:
        """The module as an ONNX file of that name."""
        target = self.folder / name / "model.onnx"
        target.parent.mkdir()
        export.export(model, self.subject(self.course.tuned), self.contract, target)
        return target


def run(bench: Bench, name: str) -> None:
    """All techniques on one set."""
    with tempfile.TemporaryDirectory() as folder:
        original = trained(bench, name, Path(folder))
        subject = original.subject(original.course.tuned)
        files = {}
        for what, made in (
            ("pruned", channels.apply(subject, SHARE)),
            ("separable", separable.apply(subject, {})),
        ):
            tuned(bench, original, what, made)
            files[what] = original.exported(made.model, what)
        speeds(bench, original, files)
        distilled(bench, original)
        precisions(bench, original)


def trained(bench: Bench, name: str, folder: Path) -> Original:
    """The original, trained and exported."""
    trainer, course = TASKS[name](), COURSES[name]
    subject = Subject(trainer, course.original)
    loop.seeded(course.original)  # the first weights are drawn too
    model = subject.build()
    history = loop.fit(model, subject)
    trainer.weights = model.state_dict()
    shape = tuple(trainer.test[0].shape[1:])
    contract = Contract(
        inputs=(Tensor("pixels", "float32", (None, *shape)),),
        outputs=(Tensor("scores", "float32", (None, 10)),),
        max_batch=32,
        opset=18,
        nodes=0,
        parameters=parameters(model),
        bytes=0,
    )
    right = accuracy(model, trainer)
    found = Original(name, course, trainer, contract, folder, parameters(model), right)
    found.exported(model, "original")
    bench.add(f"{name} original, accuracy", 100 * right, "%", note=told(history, found))
    bench.add(f"{name} original, parameters", found.parameters, "")
    return found


def tuned(bench: Bench, original: Original, what: str, made: Made) -> None:
    """Train what a technique made, taught by the original; its size and its loss."""
    before, after, history = fitted(original, made, original.course.tuned)
    name = f"{original.name} {what}"
    fewer = original.parameters / parameters(made.model)
    lost = 100 * (original.accuracy - after)
    bench.add(f"{name}, times fewer parameters", round(fewer, 2), "x")
    bench.add(f"{name}, points lost before training", 100 * (original.accuracy - before), "")
    bench.add(f"{name}, points lost", lost, "", note=told(history, original))


def fitted(
    original: Original, made: Made, options: TrainingOptions
) -> tuple[float, float, History]:
    """Accuracy on the test images before and after training; how the training went."""
    subject = original.subject(options)
    before = accuracy(made.model, original.trainer)
    teacher = subject.build() if options.alpha else None
    history = loop.fit(made.model, subject, teacher, made.after_step)
    return before, accuracy(made.model, original.trainer), history


def speeds(bench: Bench, original: Original, files: Mapping[str, Path]) -> None:
    """Speed-ups at batch 1 in ONNX Runtime: fresh pinned processes, interleaved."""
    images = original.trainer.test[0].astype(np.float32)
    Dataset({"pixels": images}).save(original.folder / "data")
    setup = Timing(
        contract=original.contract,
        dataset=original.folder / "data",
        threads=1,
        scratch=original.folder / "timing",
        budget=Budget(),
    )
    whole = original.folder / "original" / "model.onnx"
    found = timing.measure(setup, whole, {n: Executable(file) for n, file in files.items()})
    slow = found.baseline.cpu_p50 if found.clock == "cpu" else found.baseline.wall_p50
    for what, timed in found.candidates.items():
        spread = f"{min(timed.speedups):.2f} to {max(timed.speedups):.2f}"
        note = f"original {slow * 1e3:.3f} ms, noise {found.noise:.0%}"
        name = f"{original.name} {what}, speed-up"
        bench.add(name, round(timed.speedup, 2), "x", spread=spread, note=note)


def precisions(bench: Bench, original: Original) -> None:
    """The pruned model fine-tuned in mixed precision, against fp32."""
    seconds = {}
    for precision in original.course.precisions:
        usual = replace(original.course.tuned, epochs=_MIXED_EPOCHS, alpha=0.0)
        options = replace(usual, precision=precision)
        made = channels.apply(original.subject(options), SHARE)
        _, after, history = fitted(original, made, options)
        seconds[precision] = history.seconds / history.epochs
        lost = 100 * (original.accuracy - after)
        note = f"{_MIXED_EPOCHS} epochs, without distillation"
        bench.add(f"{original.name} pruned, tuned in {precision}, points lost", lost, "", note=note)
    for precision, taken in seconds.items():
        if precision != "fp32":
            name = f"{original.name} training in {precision}, speed-up"
            note = "seconds of an epoch of the pruned model, fp32 / this"
            bench.add(name, round(seconds["fp32"] / taken, 2), "x", note=note)


def distilled(bench: Bench, original: Original) -> None:
    """The same student with and without the original's answers, over seeds."""
    usual = original.course.student
    scratch: list[float] = []
    taught: list[float] = []
    for seed in SEEDS:
        for accuracies, alpha in ((scratch, 0.0), (taught, usual.alpha)):
            options = replace(usual, seed=seed, alpha=alpha)
            made = students.apply(original.subject(options), {"name": "small"})
            accuracies.append(100 * fitted(original, made, options)[1])
    for words, values in (("from scratch", scratch), ("distilled", taught)):
        spread = f"{min(values):.2f} to {max(values):.2f}"
        name = f"{original.name} student {words}, accuracy"
        bench.add(name, mean(values), "%", spread=spread, note=f"{usual.epochs} epochs at most")
    gains = [with_it - without for without, with_it in zip(scratch, taught, strict=True)]
    half = interval(gains)
    note = f"mean over {len(gains)} seeds, {_CONFIDENCE:.0%} interval of the paired differences"
    bench.add(
        f"{original.name} student, points by distillation",
        mean(gains),
        "",
        spread=f"{mean(gains) - half:.2f} to {mean(gains) + half:.2f}",
        note=note,
    )


def interval(values: list[float]) -> float:
    """Half the width of Student's t interval of the mean."""
    quantile = stats.t.ppf((1 + _CONFIDENCE) / 2, len(values) - 1)
    return float(quantile * stdev(values) / len(values) ** 0.5)


def accuracy(model: nn.Module, trainer: Trainer) -> float:
    """Share of right classes on the test images."""
    images, labels = trainer.test
    samples: list[runtime.Outputs] = [{"pixels": images.astype(np.float32)}]
    (scores,) = export.torch_answers(model.eval(), samples, _NAMED)
    return float((scores["scores"].argmax(1) == labels).mean())


_NAMED = Contract(
    inputs=(),
    outputs=(Tensor("scores", "float32", (None, 10)),),
    max_batch=1,
    opset=18,
    nodes=0,
    parameters=0,
    bytes=0,
)


def told(history: History, original: Original) -> str:
    """How long a training took and in which precision, and what one image weighs."""
    image, precision = 100 / len(original.trainer.test[1]), original.course.tuned.precision
    return (
        f"{history.epochs} epochs in {precision}, {history.seconds:.0f} s; "
        f"one image is {image:.2f} points"
    )


def main(names: list[str]) -> int:
    """Runs the parts; 1 when a figure misses its target."""
    unknown = sorted(set(names) - set(TASKS))
    if unknown:
        sys.stderr.write(f"there is no part {unknown[0]!r}; there are {', '.join(TASKS)}\n")
        return 2
    warnings.simplefilter("ignore")  # the exporter's own deprecations
    bench = Bench("training")
    for name in names or TASKS:
        run(bench, name)
    if not names:
        sys.stdout.write(f"written: {bench.write()}\n")
    return int(any(figure.ok is False for figure in bench.figures))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
