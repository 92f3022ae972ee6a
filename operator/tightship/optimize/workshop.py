"""One conversion's scratch folder and its children: there the original is judged and all timed."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tightship.api.job import JobRequest
from tightship.api.v1alpha1 import Objective
from tightship.optimize import graph, reuse, sandbox, space, timing, training
from tightship.optimize.budget import Budget
from tightship.optimize.cache import Cache
from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.contract import RANDOM
from tightship.optimize.data import Dataset
from tightship.optimize.engine import Executable
from tightship.optimize.evaluate import Judging
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.folders import Folders
from tightship.optimize.gate.verdict import Demands
from tightship.optimize.intake import Intake
from tightship.optimize.reuse import Reuse
from tightship.optimize.sandbox import CrashError, Limits
from tightship.optimize.timing import Timing, Timings
from tightship.storage import StorageError

MODEL = "model.onnx"
_TASKS = "tightship.optimize"


class Workshop:
    """One conversion's scratch folder and the children that work in it.

    What an earlier conversion left in the cache is not done again, timings excepted.
    """

    def __init__(
        self,
        request: JobRequest,
        intake: Intake,
        folders: Folders,
        budget: Budget,
        cache: Cache | None = None,
    ) -> None:
        self.request, self.intake, self.budget = request, intake, budget
        self.scratch = folders.scratch
        self.trainer = training.setup(request.trainer, _folder(intake))
        self.original = self._placed()
        self.bytes = Executable(self.original).bytes
        self._calibration, self.judged = _split(intake)
        self.normalised = self.original
        self.reuse = Reuse(cache, self.original, intake.contract, budget)
        self.unjudged = ""  # why the original's answers cannot be compared with any others

    def _placed(self) -> Path:
        """The original as one file: its own bytes, or with its external data brought in.

        Where one file cannot hold them, the data stay beside it.
        """
        target = self.scratch / "original" / MODEL
        target.parent.mkdir(parents=True, exist_ok=True)
        size = graph.file_bytes(self.intake.model)
        if size == self.intake.model.stat().st_size:
            shutil.copyfile(self.intake.model, target)
            return target
        if size > graph.INLINE_MAX:
            graph.relocate(self.intake.model, target)
            return target
        graph.save(graph.load(self.intake.model), target)
        return target

    def run(
        self, task: str, payload: Mapping[str, Any], folder: str, *, trains: bool = False
    ) -> dict[str, Any]:
        """Do a task in a child, within the limits that its model and the user's trainer have.

        Raises:
            CrashError: the child crashed, ran out of memory or of time.
            RefusalError: the task refused its input for a documented reason.
        """
        limits = Limits.for_model(
            self.bytes, self.budget.stage(self.bytes), self.budget.scratch_bytes
        )
        trainer = self.request.trainer
        if not trains or trainer is None:
            return sandbox.run(f"{_TASKS}.{task}", payload, self.scratch / folder, limits)
        limits = limits.for_training(trainer.options.seconds)
        if not trainer.confined:
            return sandbox.run(f"{_TASKS}.{task}", payload, self.scratch / folder, limits)
        try:
            return sandbox.run_confined(f"{_TASKS}.{task}", payload, self.scratch / folder, limits)
        except StorageError as error:
            raise CrashError(str(error), Reason.INTERNAL) from error

    def check_space(self) -> None:
        """Refuse to go on when the scratch volume is too small for the next step.

        Raises:
            RefusalError: NoSpaceLeft.
        """
        limit = self.request.scratch_bytes
        space.check(self.scratch.parent, limit, self.bytes)

    def judging(self) -> Judging:
        """What candidates are judged on; only where there are data."""
        return Judging(
            contract=self.intake.contract,
            dataset=str(self.scratch / "judged"),
            reference=str(self.scratch / "reference"),
            original=str(self.original),
            metric=self.request.metric if self.intake.evaluation else None,
            positive_class=self.request.positive_class,
            demands=Demands(
                max_drop=self.request.max_drop,
                confidence=self.request.confidence,
                worst_value=self.request.worst_value,
                max_class_drop=self.request.max_class_drop,
                worst_class_value=self.request.worst_class_value,
            ),
            min_speedup=self.least_speedup(),
            threads=self.request.threads,
            own=self.intake.own,
        )

    def least_speedup(self) -> float:
        """What a candidate must show in the quick look, which is at batch 1."""
        latency = self.request.objective == Objective.LATENCY.value
        return self.request.min_speedup if latency else 1.0

    def baseline(self) -> dict[str, Any]:
        """Run the original over the data; nothing where its answers cannot be compared.

        Raises:
            RefusalError: the metric does not fit the outputs, or the run fails.
        """
        if self.intake.contract.random:
            self.unjudged = RANDOM
        if self.judged is None or self.unjudged:
            return {}
        self.judged.save(self.scratch / "judged")
        self._calibration.save(self.scratch / "calibration")
        judging, reference = self.judging(), self.scratch / "reference"
        self.reuse.given(self.scratch / "calibration", self.scratch / "judged", judging)
        key = self.reuse.baseline()
        if known := self.reuse.get("baseline", key, reference):
            return known
        try:
            found = self.run("evaluate:baseline_task", {"judging": judging.to_json()}, "base")
        except RefusalError as refusal:
            if refusal.reason is not Reason.UNSUPPORTED_MODEL:
                raise
            self.unjudged = refusal.message
            return {}
        except CrashError as crash:
            raise RefusalError(
                crash.reason if crash.reason is not Reason.INTERNAL else Reason.DATA_INVALID,
                f"The original does not run over the evaluation data: {crash}. Check that the data "
                "are valid inputs of the model.",
            ) from crash
        self.reuse.put(key, found, reuse.below(reference))
        return found

    def normalise(self) -> dict[str, Any]:
        """Prepare the file that techniques start from; the original where that does not work."""
        if self.bytes > graph.INLINE_MAX:
            return {"steps": [], "notes": ["normalising was left out: the model is too large"]}
        verify = self._calibration.arrays
        count = self.budget.verify_samples
        Dataset({n: a[:count] for n, a in verify.items()}).save(self.scratch / "verify")
        target = self.scratch / "normalised" / MODEL
        key = self.reuse.normalised()
        if known := self.reuse.get("normalised model", key, target.parent):
            self._start_from(target)
            return known
        payload = {
            "source": str(self.original),
            "target": str(target),
            "samples": str(self.scratch / "verify"),
            "contract": self.intake.contract.to_json(),
            "batch": self.budget.evaluation_batch,
        }
        try:
            result = self.run("normalise:task", payload, "normalised")
        except (CrashError, RefusalError) as error:
            return {"steps": [], "notes": [f"normalising was left out: {error}"]}
        self.reuse.put(key, result, {MODEL: target})
        self._start_from(target)
        return result

    def _start_from(self, normalised: Path) -> None:
        self.normalised = normalised
        self.reuse.start_from(normalised)

    def survey(self) -> tuple[Mapping[str, Any], ...]:
        """What can be trained with the user's trainer; nothing without one.

        Raises:
            RefusalError: the trainer is not usable.
        """
        if self.trainer is None:
            return ()
        payload = {
            "trainer": self.trainer,
            "contract": self.intake.contract.to_json(),
            "original": str(self.original),
        }
        try:
            found = self.run("training.work:survey_task", payload, "survey", trains=True)
        except CrashError as crash:
            raise RefusalError(Reason.INVALID_TRAINER, f"The trainer failed: {crash}.") from crash
        return tuple(found["proposals"])

    def time(self, candidates: Sequence[Candidate]) -> Timings | None:
        """Time what is alive against the original; None when nothing is."""
        models = {c.id: c.model for c in candidates if c.alive and c.model is not None}
        if not models:
            return None
        setup = Timing(
            contract=self.intake.contract,
            dataset=self.scratch / "judged",
            threads=self.request.threads,
            scratch=self.scratch / "timing",
            budget=self.budget,
        )
        parts = [
            timing.measure(setup, self.original, {name: models[name] for name in names})
            for names in timing.chunks(list(models), self.bytes)
        ]
        together = timing.merged(parts)
        for candidate in candidates:
            candidate.timed = together.candidates.get(candidate.id)
            if reason := together.lost.get(candidate.id):
                candidate.refuse(Status.ERROR, f"it could not be timed: {reason}")
        return together


def _folder(intake: Intake) -> Path | None:
    return intake.trainer.folder if intake.trainer else None


def _split(intake: Intake) -> tuple[Dataset, Dataset | None]:
    """(samples for ranges and calibration, samples to judge on).

    Without evaluation data, every second calibration sample judges and is not calibrated with.
    Without calibration data, ranges for half precision are scanned on evaluation inputs.
    """
    if intake.evaluation is not None:
        inputs = Dataset(intake.evaluation.arrays)
        return intake.calibration or inputs, intake.evaluation
    if intake.calibration is None or len(intake.calibration) < 2:  # noqa: PLR2004 (one of each)
        return Dataset({}), None
    halves = [{n: a[o::2] for n, a in intake.calibration.arrays.items()} for o in (0, 1)]
    return Dataset(halves[0]), Dataset(halves[1])
