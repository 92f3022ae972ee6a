"""One candidate's way: built in a child, then run in another up to its first miss."""

import shutil
import time
from typing import Any

from tightship.optimize import graph, hostile, reuse
from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.contenders import done_before
from tightship.optimize.engine import Executable
from tightship.optimize.failures import RefusalError
from tightship.optimize.sandbox import CrashError
from tightship.optimize.techniques import Recipe, trained
from tightship.optimize.workshop import Workshop

_STOPPED = {
    "smoke": Status.SMOKE_FAILED,
    "fidelity": Status.GATE_FAILED,
    "look": Status.TOO_SLOW,
    "full": Status.GATE_FAILED,
}


def attempt(
    workshop: Workshop, candidate: Candidate, recipe: Recipe, before: Candidate | None = None
) -> None:
    """Build the candidate, as `build` does, and run it up to its first miss.

    Raises:
        RefusalError: NoSpaceLeft.
    """
    build(workshop, candidate, recipe, before)
    if candidate.alive:
        evaluate(workshop, candidate)
    if not candidate.alive and workshop.bytes > graph.INLINE_MAX:
        discard(workshop, candidate)


def build(
    workshop: Workshop, candidate: Candidate, recipe: Recipe, before: Candidate | None = None
) -> None:
    """Build the candidate's file; a crash is its result.

    What `before`, a candidate that this one builds on, has done already is not done again.

    Raises:
        RefusalError: NoSpaceLeft.
    """
    workshop.check_space()
    target = Executable(workshop.scratch / "candidates" / candidate.id / recipe.file, recipe.engine)
    started = time.monotonic()
    try:
        built = _built(workshop, target, recipe, before)
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
    workshop: Workshop, target: Executable, recipe: Recipe, before: Candidate | None
) -> dict[str, Any]:
    """What building says, or said in an earlier conversion."""
    folder, key = target.file.parent, workshop.reuse.built(recipe)
    if known := workshop.reuse.get("candidate", key, folder):
        return reuse.here(known, folder)
    source, passes = workshop.normalised, recipe.passes
    done = done_before(before, recipe)
    if before is not None and before.model is not None and done:
        source, passes = before.model.file, recipe.passes[done:]
    payload = {
        "source": str(source),
        "target": target.to_json(),
        "passes": [{"name": s.name, "params": dict(s.params)} for s in passes],
        "contract": workshop.intake.contract.to_json(),
        "samples": str(workshop.scratch / "calibration"),
        "batch": workshop.budget.evaluation_batch,
        "trainer": workshop.trainer,
    }
    trains = any(step.name == trained.NAME for step in passes)
    built = workshop.run("build:task", payload, f"candidates/{folder.name}", trains=trains)
    if trains and not built["ineffective"]:  # a process that ran the user's code wrote it
        hostile.check_model(target.file, workshop.budget)
    if before is not None and done:
        built["coverage"] = {**before.coverage, **built["coverage"]}
    workshop.reuse.put(key, *reuse.kept(built, target))
    return built


def discard(workshop: Workshop, candidate: Candidate) -> None:
    """Remove the files of a candidate that is given up, for the next one's sake."""
    shutil.rmtree(workshop.scratch / "candidates" / candidate.id, ignore_errors=True)
    candidate.model = None


def evaluate(workshop: Workshop, candidate: Candidate) -> None:
    """Run the candidate up to its first miss."""
    if candidate.model is None:
        return
    started = time.monotonic()
    try:
        result = _verdicts(workshop, candidate, candidate.model)
    except (CrashError, RefusalError) as error:
        candidate.refuse(Status.ERROR, f"running it failed: {error}")
        return
    finally:
        candidate.seconds += time.monotonic() - started
    candidate.verdicts = result
    if stopped := result.get("stopped"):
        status = _STOPPED[stopped["stage"]]
        candidate.refuse(status, stopped["reason"] + _slowness(workshop, candidate, status))


def _verdicts(workshop: Workshop, candidate: Candidate, model: Executable) -> dict[str, Any]:
    """What judging says; of an earlier conversion's, the quick look is taken anew."""
    answers = model.file.parent / reuse.ANSWERS
    key = workshop.reuse.verdict(candidate.recipe) if candidate.recipe else None
    known = workshop.reuse.get("verdict", key, answers)
    payload = {
        "judging": workshop.judging().to_json(),
        "model": model.to_json(),
        "simulation": candidate.simulation,
        "known": known,
    }
    found = workshop.run("evaluate:task", payload, f"candidates/{candidate.id}/evaluation")
    if known is None and reuse.timeless(found):
        workshop.reuse.put(key, reuse.without_look(found), reuse.below(answers))
    return found


def outpace(workshop: Workshop, candidate: Candidate, reason: str) -> None:
    """Leave out of the timing what is far behind: the quick look is the last word on it."""
    discard(workshop, candidate)
    candidate.reason = reason
    if candidate.look is not None and candidate.look < workshop.least_speedup():
        told = f"x{candidate.look:.2f} of the original's speed in a quick look"
        slowness = _slowness(workshop, candidate, Status.TOO_SLOW)
        candidate.refuse(Status.TOO_SLOW, told + slowness)


def _slowness(workshop: Workshop, candidate: Candidate, status: Status) -> str:
    """What is known of the cause when a refused candidate was not faster either."""
    cause, look = candidate.recipe.slow if candidate.recipe else "", candidate.look
    if not cause or look is None or look >= workshop.least_speedup():
        return ""
    if status is Status.TOO_SLOW:
        return f": {cause}"
    return f"; nor is it faster, at x{look:.2f} in a quick look: {cause}"
