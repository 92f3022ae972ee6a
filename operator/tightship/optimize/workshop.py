"""The stages that run in children: normalise, baseline, build, evaluate, time. One method each."""

import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tightship.api.job import JobRequest
from tightship.api.v1alpha1 import Objective
from tightship.drift.reference import Column, Reference, reference
from tightship.optimize import (
    evaluate,
    graph,
    hostile,
    reuse,
    sandbox,
    space,
    timing,
    training,
)
from tightship.optimize.budget import Budget
from tightship.optimize.cache import Cache
from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.contenders import done_before
from tightship.optimize.contract import RANDOM, Tensor
from tightship.optimize.data import Arrays, Dataset
from tightship.optimize.engine import Executable
from tightship.optimize.evaluate import Judging
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.folders import Folders
from tightship.optimize.gate.verdict import Demands
from tightship.optimize.intake import Intake
from tightship.optimize.reuse import Reuse
from tightship.optimize.sandbox import CrashError, Limits
from tightship.optimize.techniques import Recipe, trained
from tightship.optimize.timing import Timing, Timings
from tightship.storage import StorageError

MODEL = "model.onnx"
_TASKS = "tightship.optimize"
_STOPPED = {
    "smoke": Status.SMOKE_FAILED,
    "fidelity": Status.GATE_FAILED,
    "look": Status.TOO_SLOW,
    "full": Status.GATE_FAILED,
}


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
        self._request, self._intake, self._budget = request, intake, budget
        self.scratch = folders.scratch
        self._trainer = training.setup(request.trainer, _folder(intake))
        self.original = self._placed()
        self._bytes = Executable(self.original).bytes
        self._calibration, self.judged = _split(intake)
        self._normalised = self.original
        self.reuse = Reuse(cache, self.original, intake.contract, budget)
        self.unjudged = ""  # why the original's answers cannot be compared with any others

    def _placed(self) -> Path:
        """The original as one file: its own bytes, or with its external data brought in.

        Where one file cannot hold them, the data stay beside it.
        """
        target = self.scratch / "original" / MODEL
        target.parent.mkdir(parents=True, exist_ok=True)
        size = graph.file_bytes(self._intake.model)
        if size == self._intake.model.stat().st_size:
            shutil.copyfile(self._intake.model, target)
            return target
        if size > graph.INLINE_MAX:
            graph.relocate(self._intake.model, target)
            return target
        graph.save(graph.load(self._intake.model), target)
        return target

    def _run(
        self, task: str, payload: Mapping[str, Any], folder: str, *, trains: bool = False
    ) -> dict[str, Any]:
        limits = Limits.for_model(
            self._bytes, self._budget.stage(self._bytes), self._budget.scratch_bytes
        )
        trainer = self._request.trainer
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
        limit = self._request.scratch_bytes
        space.check(self.scratch.parent, limit, self._bytes)

    def judging(self) -> Judging:
        """What candidates are judged on; only where there are data."""
        return Judging(
            contract=self._intake.contract,
            dataset=str(self.scratch / "judged"),
            reference=str(self.scratch / "reference"),
            original=str(self.original),
            metric=self._request.metric if self._intake.evaluation else None,
            positive_class=self._request.positive_class,
            demands=Demands(
                max_drop=self._request.max_drop,
                confidence=self._request.confidence,
                worst_value=self._request.worst_value,
                max_class_drop=self._request.max_class_drop,
            ),
            min_speedup=self._least(),
            threads=self._request.threads,
            own=self._intake.own,
        )

    def _least(self) -> float:
        """What a candidate must show in the quick look, which is at batch 1."""
        latency = self._request.objective == Objective.LATENCY.value
        return self._request.min_speedup if latency else 1.0

    def baseline(self) -> dict[str, Any]:
        """Run the original over the data; nothing where its answers cannot be compared.

        Raises:
            RefusalError: the metric does not fit the outputs, or the run fails.
        """
        if self._intake.contract.random:
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
            found = self._run("evaluate:baseline_task", {"judging": judging.to_json()}, "base")
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
        if self._bytes > graph.INLINE_MAX:
            return {"steps": [], "notes": ["normalising was left out: the model is too large"]}
        verify = self._calibration.arrays
        count = self._budget.verify_samples
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
            "contract": self._intake.contract.to_json(),
            "batch": self._budget.evaluation_batch,
        }
        try:
            result = self._run("normalise:task", payload, "normalised")
        except (CrashError, RefusalError) as error:
            return {"steps": [], "notes": [f"normalising was left out: {error}"]}
        self.reuse.put(key, result, {MODEL: target})
        self._start_from(target)
        return result

    def _start_from(self, normalised: Path) -> None:
        self._normalised = normalised
        self.reuse.start_from(normalised)

    def survey(self) -> tuple[Mapping[str, Any], ...]:
        """What can be trained with the user's trainer; nothing without one.

        Raises:
            RefusalError: the trainer is not usable.
        """
        if self._trainer is None:
            return ()
        payload = {
            "trainer": self._trainer,
            "contract": self._intake.contract.to_json(),
            "original": str(self.original),
        }
        try:
            found = self._run("training.work:survey_task", payload, "survey", trains=True)
        except CrashError as crash:
            raise RefusalError(Reason.INVALID_TRAINER, f"The trainer failed: {crash}.") from crash
        return tuple(found["proposals"])

    def attempt(
        self, candidate: Candidate, recipe: Recipe, before: Candidate | None = None
    ) -> None:
        """Build the candidate, as `build` does, and run it up to its first miss.

        Raises:
            RefusalError: NoSpaceLeft.
        """
        self.build(candidate, recipe, before)
        if candidate.alive:
            self.evaluate(candidate)
        if not candidate.alive and self._bytes > graph.INLINE_MAX:
            self.discard(candidate)

    def build(self, candidate: Candidate, recipe: Recipe, before: Candidate | None = None) -> None:
        """Build the candidate's file; a crash is its result.

        What `before`, a candidate that this one builds on, has done already is not done again.

        Raises:
            RefusalError: NoSpaceLeft.
        """
        self.check_space()
        target = Executable(self.scratch / "candidates" / candidate.id / recipe.file, recipe.engine)
        started = time.monotonic()
        try:
            built = self._built(target, recipe, before)
        except (CrashError, RefusalError) as error:
            candidate.refuse(Status.ERROR, f"building it failed: {error}")
            return
        finally:
            candidate.seconds += time.monotonic() - started
        candidate.notes, candidate.coverage = tuple(built["notes"]), built["coverage"]
        candidate.simulation = built["simulation"]
        if built["ineffective"]:
            candidate.refuse(Status.INEFFECTIVE, built["ineffective"])
            return
        candidate.layers = built["layers"]
        candidate.model, candidate.bytes = target, target.bytes

    def _built(
        self, target: Executable, recipe: Recipe, before: Candidate | None
    ) -> dict[str, Any]:
        """What building says, or said in an earlier conversion."""
        folder, key = target.file.parent, self.reuse.built(recipe)
        if known := self.reuse.get("candidate", key, folder):
            return reuse.here(known, folder)
        source, passes = self._normalised, recipe.passes
        done = done_before(before, recipe)
        if before is not None and before.model is not None and done:
            source, passes = before.model.file, recipe.passes[done:]
        payload = {
            "source": str(source),
            "target": target.to_json(),
            "passes": [{"name": s.name, "params": dict(s.params)} for s in passes],
            "contract": self._intake.contract.to_json(),
            "samples": str(self.scratch / "calibration"),
            "batch": self._budget.evaluation_batch,
            "trainer": self._trainer,
        }
        trains = any(step.name == trained.NAME for step in passes)
        built = self._run("build:task", payload, f"candidates/{folder.name}", trains=trains)
        if trains and not built["ineffective"]:  # a process that ran the user's code wrote it
            hostile.check_model(target.file, self._budget)
        if before is not None and done:
            built["coverage"] = {**before.coverage, **built["coverage"]}
        self.reuse.put(key, *reuse.kept(built, target))
        return built

    def discard(self, candidate: Candidate) -> None:
        """Remove the files of a candidate that is given up, for the next one's sake."""
        shutil.rmtree(self.scratch / "candidates" / candidate.id, ignore_errors=True)
        candidate.model = None

    def reference(self, chosen: Candidate | None) -> Reference | None:
        """What inputs and the chosen model's answers look like; None where nothing was judged."""
        folder = self.scratch / "reference"
        if chosen is not None and chosen.model is not None:
            folder = chosen.model.file.parent / reuse.ANSWERS
        if self.judged is None or not folder.is_dir():
            return None
        contract, answers = self._intake.contract, evaluate.load_answers(folder)

        def columns(tensors: Iterable[Tensor], arrays: Arrays) -> list[Column]:
            fixed = {t.name: None not in contract.sample_dims(t) for t in tensors}
            return [
                Column(name=name, rows=arrays[name], fixed=each)
                for name, each in fixed.items()
                if name in arrays
            ]

        return reference(
            columns(contract.inputs, self.judged.arrays), columns(contract.outputs, answers)
        )

    def evaluate(self, candidate: Candidate) -> None:
        """Run the candidate up to its first miss."""
        if candidate.model is None:
            return
        started = time.monotonic()
        try:
            result = self._verdicts(candidate, candidate.model)
        except (CrashError, RefusalError) as error:
            candidate.refuse(Status.ERROR, f"running it failed: {error}")
            return
        finally:
            candidate.seconds += time.monotonic() - started
        candidate.verdicts = result
        if stopped := result.get("stopped"):
            status = _STOPPED[stopped["stage"]]
            candidate.refuse(status, stopped["reason"] + self._slowness(candidate, status))

    def _verdicts(self, candidate: Candidate, model: Executable) -> dict[str, Any]:
        """What judging says; of an earlier conversion's, the quick look is taken anew."""
        answers = model.file.parent / reuse.ANSWERS
        key = self.reuse.verdict(candidate.recipe) if candidate.recipe else None
        known = self.reuse.get("verdict", key, answers)
        payload = {
            "judging": self.judging().to_json(),
            "model": model.to_json(),
            "simulation": candidate.simulation,
            "known": known,
        }
        found = self._run("evaluate:task", payload, f"candidates/{candidate.id}/evaluation")
        if known is None and reuse.timeless(found):
            self.reuse.put(key, reuse.without_look(found), reuse.below(answers))
        return found

    def outpace(self, candidate: Candidate, reason: str) -> None:
        """Leave out of the timing what is far behind: the quick look is the last word on it."""
        self.discard(candidate)
        candidate.reason = reason
        if candidate.look is not None and candidate.look < self._least():
            told = f"x{candidate.look:.2f} of the original's speed in a quick look"
            slowness = self._slowness(candidate, Status.TOO_SLOW)
            candidate.refuse(Status.TOO_SLOW, told + slowness)

    def _slowness(self, candidate: Candidate, status: Status) -> str:
        """What is known of the cause when a refused candidate was not faster either."""
        cause, look = candidate.recipe.slow if candidate.recipe else "", candidate.look
        if not cause or look is None or look >= self._least():
            return ""
        if status is Status.TOO_SLOW:
            return f": {cause}"
        return f"; nor is it faster, at x{look:.2f} in a quick look: {cause}"

    def time(self, candidates: Sequence[Candidate]) -> Timings | None:
        """Time what is alive against the original; None when nothing is."""
        models = {c.id: c.model for c in candidates if c.alive and c.model is not None}
        if not models:
            return None
        setup = Timing(
            contract=self._intake.contract,
            dataset=self.scratch / "judged",
            threads=self._request.threads,
            scratch=self.scratch / "timing",
            budget=self._budget,
        )
        parts = [
            timing.measure(setup, self.original, {name: models[name] for name in names})
            for names in timing.chunks(list(models), self._bytes)
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
