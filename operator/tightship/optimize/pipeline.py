"""The whole conversion in order: intake, baseline, candidates, timing, proof in Triton."""

import asyncio
import shutil
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from tightship.api.job import JobRequest
from tightship.api.progress import Position, Stage
from tightship.api.v1alpha1 import Objective
from tightship.optimize import (
    attempts,
    contenders,
    drift_reference,
    machine,
    prejudged,
    proof,
    racing,
    serving,
    tensorrt,
    training,
    worth,
)
from tightship.optimize import intake as taking
from tightship.optimize.budget import Budget
from tightship.optimize.cache import Cache
from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.conversion import Conversion
from tightship.optimize.folders import Folders
from tightship.optimize.intake import Intake
from tightship.optimize.progress import Noted, Progress, decided, refused
from tightship.optimize.proof import TritonAddress
from tightship.optimize.search import space
from tightship.optimize.search.explore import Search
from tightship.optimize.tabular import source as tabular
from tightship.optimize.tabular import speed
from tightship.optimize.techniques import Facts, Recipe, trained
from tightship.optimize.workshop import Workshop


def convert(
    request: JobRequest,
    folders: Folders,
    budget: Budget,
    triton: TritonAddress | None,
    progress: Progress,
    cache: Cache | None = None,
) -> Conversion:
    """Run all stages up to the choice; without `triton` the proof is left out, as the report says.

    With a `cache`, what an earlier conversion found is not done again; timings always are.

    Raises:
        RefusalError: source, data or configuration are not usable, or Triton failed.
        StorageError: an unsafe archive.
    """
    shutil.rmtree(folders.scratch, ignore_errors=True)
    started = time.monotonic()
    progress(Position(Stage.INTAKE))
    intake = taking.take(request, folders, budget)
    workshop = Workshop(request, intake, folders, budget, cache)
    config = serving.completed(intake.contract, intake.config, request.threads)
    conversion = Conversion(request, intake, workshop.original, config)
    conversion.warnings += intake.warnings
    conversion.seconds[Stage.INTAKE.value] = round(time.monotonic() - started, 2)
    _against_sklearn(conversion, folders, budget, progress)
    _candidates(conversion, workshop, budget, progress)
    with conversion.stage(Stage.PROVE if triton else Stage.SELECT, progress):
        if triton is None:
            _unproven(conversion)
        else:
            workshop.check_space()
            bench = proof.Bench(conversion.request, intake, workshop, config.text, budget)
            order = [_named(conversion, name) for name in conversion.ranking.order]
            conversion.outcome = asyncio.run(bench.prove(triton, folders.models, order, progress))
            conversion.chosen = conversion.outcome.chosen
    _close(conversion)
    conversion.reference = drift_reference.of_chosen(workshop, conversion.chosen)
    return conversion


def _against_sklearn(
    conversion: Conversion, folders: Folders, budget: Budget, progress: Progress
) -> None:
    """Time a scikit-learn model beside the ONNX model that it was turned into."""
    exported = conversion.intake.exported
    if not isinstance(exported, tabular.Exported):
        return
    with conversion.stage(Stage.SKLEARN, progress):
        threads = conversion.request.threads
        found = speed.measure(exported, threads, folders.scratch / "sklearn-speed", budget)
    if isinstance(found, str):
        conversion.warnings.append(found)
        return
    conversion.sklearn_speed = found
    if found.speedup < 1 - found.noise:
        conversion.warnings.append(
            f"ONNX Runtime takes {found.onnx * 1e6:.0f} µs for one row, scikit-learn itself "
            f"{found.sklearn * 1e6:.0f} µs"
        )


def _candidates(
    conversion: Conversion, workshop: Workshop, budget: Budget, progress: Progress
) -> None:
    """Everything before Triton: baseline, candidates, timing, ranking."""
    facts = _measured(conversion, workshop, progress)
    conversion.candidates = contenders.propose(facts)
    conversion.unjudged = workshop.unjudged or prejudged.unjudged(conversion)
    conversion.warnings += [workshop.unjudged] if workshop.unjudged else []
    if conversion.unjudged:
        for candidate in conversion.candidates:
            if candidate.alive:
                candidate.refuse(Status.INELIGIBLE, conversion.unjudged)
        return
    with conversion.stage(Stage.NORMALISE, progress):
        conversion.normalised = workshop.normalise()
    _build(conversion, workshop, budget, progress)
    _search(conversion, workshop, facts, progress)
    if taken := workshop.reuse.told:
        progress(Noted(taken))
    _rank(conversion, workshop, progress)


def _measured(conversion: Conversion, workshop: Workshop, progress: Progress) -> Facts:
    """The baseline, and what it and the trainer tell of the model that eligibility depends on."""
    with conversion.stage(Stage.BASELINE, progress):
        conversion.baseline = workshop.baseline()
        conversion.warnings += conversion.baseline.get("notes", [])
        conversion.warnings += prejudged.missed(conversion)
    proposals: tuple[Mapping[str, Any], ...] = ()
    if conversion.request.trainer is not None:
        with conversion.stage(Stage.TRAINER, progress):
            proposals = _trainable(conversion, workshop)
    return _facts(conversion.request, conversion.intake, proposals)


def _build(conversion: Conversion, workshop: Workshop, budget: Budget, progress: Progress) -> None:
    end = time.monotonic() + budget.total_seconds + _training_seconds(conversion)
    tried = {each.id: each for each in conversion.candidates if not each.alive}
    begun = [each for each in conversion.candidates if each.recipe and each.alive]
    for number, candidate in enumerate(begun, 1):
        tried[candidate.id] = candidate
        recipe = candidate.recipe
        if recipe is None:
            continue
        progress(Position(Stage.CANDIDATES, number, len(begun), candidate.id))
        reason = worth.needless(recipe, tried, workshop.least_speedup())
        if time.monotonic() > end:
            reason = f"the conversion had already taken {budget.total_seconds:g} s"
        if reason:
            candidate.refuse(Status.INELIGIBLE, reason)
        else:
            with conversion.timed(candidate.id):
                attempts.attempt(workshop, candidate, recipe, tried.get(recipe.after or ""))
        progress(decided(candidate))


def _search(conversion: Conversion, workshop: Workshop, facts: Facts, progress: Progress) -> None:
    """Add what a search tries, where one is asked for, to the candidates of the curated list."""
    request = conversion.request
    if request.search is None:
        return
    search = Search(request.search, space.spaces(facts), Objective(request.objective))

    def attempt(trial: Candidate, recipe: Recipe) -> None:
        number = len(search.trials)
        progress(Position(Stage.SEARCH, number, max(number, search.most), trial.id))
        attempts.attempt(workshop, trial, recipe)
        progress(decided(trial))

    with conversion.stage(Stage.SEARCH, progress):
        discard = partial(attempts.discard, workshop)
        conversion.searched = search.run(conversion.candidates, attempt, discard)
    conversion.candidates += search.trials


def _rank(conversion: Conversion, workshop: Workshop, progress: Progress) -> None:
    """Time what is left and order it by the objective; what is lost on the way is told."""
    alive = [candidate for candidate in conversion.candidates if candidate.alive]
    _race(conversion, workshop)
    with conversion.stage(Stage.TIME, progress):
        conversion.timings = workshop.time(conversion.candidates)
    if conversion.timings is not None:
        request = conversion.request
        conversion.ranking = contenders.rank(
            conversion.candidates,
            conversion.timings,
            Objective(request.objective),
            request.min_speedup,
        )
    for loss in refused(alive):
        progress(loss)


def _race(conversion: Conversion, workshop: Workshop) -> None:
    """Give up what is far behind already; the look is at batch 1, so it decides latency alone."""
    if conversion.request.objective != Objective.LATENCY.value:
        return
    alive = [c for c in conversion.candidates if c.alive and c.model is not None]
    looks = {c.id: c.look for c in alive if c.look is not None}
    behind = racing.outpaced(looks)
    for candidate in alive:
        if reason := behind.get(candidate.id):
            attempts.outpace(workshop, candidate, reason)


def _training_seconds(conversion: Conversion) -> float:
    """What the candidates that are trained may take beside all others."""
    trainer = conversion.request.trainer
    if trainer is None:
        return 0.0
    recipes = (each.recipe for each in conversion.candidates)
    count = sum(trained.trains(recipe) for recipe in recipes if recipe is not None)
    return count * trainer.options.seconds


def _trainable(conversion: Conversion, workshop: Workshop) -> tuple[Mapping[str, Any], ...]:
    """What the trainer can make of the model; where it is idle, each technique with the reason."""
    asked, source = conversion.request.trainer, conversion.intake.trainer
    if asked is not None and source is not None and source.idle:
        return training.skipped(asked.options, source.idle)
    return workshop.survey()


def _facts(
    request: JobRequest, intake: Intake, proposals: tuple[Mapping[str, Any], ...] = ()
) -> Facts:
    return Facts(
        contract=intake.contract,
        calibration=intake.calibration is not None,
        cpu_flags=machine.cpu_flags(),
        cache_bytes=machine.cache_bytes(),
        quantize=request.quantize,
        half_precision=request.half_precision,
        prune=request.prune,
        sparsity=request.prune_sparsity,
        openvino=request.openvino,
        accelerator=request.accelerator,
        tensorrt=tensorrt.present(),
        trained=proposals,
    )


def _named(conversion: Conversion, name: str) -> Candidate:
    return next(candidate for candidate in conversion.candidates if candidate.id == name)


def _unproven(conversion: Conversion) -> None:
    """Choose by the runtime's own figures, which the report marks as not proven in Triton."""
    conversion.warnings.append(
        "not proven in Triton: none was given, so the choice rests on the runtime's own figures"
    )
    if conversion.ranking.order:
        conversion.chosen = _named(conversion, conversion.ranking.order[0])


def _close(conversion: Conversion) -> None:
    """Give every candidate that was not chosen its last word."""
    chosen = conversion.chosen
    if chosen is not None:
        chosen.status = Status.CHOSEN
        chosen.reason = ""
    for candidate in conversion.candidates:
        if candidate.alive and not candidate.reason:
            winner = chosen.id if chosen else "the original"
            candidate.reason = f"{winner} is better, or equal within the noise and simpler"
