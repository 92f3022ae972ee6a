"""report.json: what was tried, what it cost in accuracy, why this one.

Its schema is docs/reference/report.schema.json.
"""

import math
from dataclasses import asdict
from typing import Any

from tightship.api.artifact import REPORT_SCHEMA, Summary
from tightship.api.code import CodeRequest
from tightship.api.v1alpha1 import Objective
from tightship.optimize import machine, reproduce
from tightship.optimize.candidate import Candidate, Status
from tightship.optimize.conversion import Conversion, timings_json
from tightship.optimize.engine import Executable
from tightship.optimize.pytorch import source as pytorch
from tightship.optimize.search import front
from tightship.optimize.search.front import Standing
from tightship.optimize.timing import Latency
from tightship.triton.profile import Profile

ORIGINAL = "original"
NO_TECHNIQUE = "None"
_REASON_MAX = 900
_BACKEND_BYTES = 70 * 2**20  # of one instance without its model, where memory cannot be seen


def report(conversion: Conversion) -> dict[str, Any]:
    """The whole report as a JSON value without NaN or infinity."""
    request, intake = conversion.request, conversion.intake
    found = {
        "schema": REPORT_SCHEMA,
        "key": request.key,
        "tools": machine.versions(),
        "images": {"converter": request.converter_image, "server": request.server_image},
        "hardware": machine.hardware(request.threads, request.node_class),
        "source": {
            "sha256": request.source_digest,
            "format": request.source_format,
            "bytes": Executable(conversion.original).bytes,
            "contract": intake.contract.to_json(),
            "config": {
                "given": intake.config is not None,
                "filled": list(conversion.config.filled),
            },
            "normalised": conversion.normalised or None,
            **_exported(conversion),
        },
        "data": _data(conversion),
        "trainer": _code(request.trainer),
        "ownMetric": _code(request.own_metric),
        "gate": _gate(conversion),
        "objective": _objective(conversion),
        "aim": request.objective,
        "minSpeedup": request.min_speedup,
        "runtime": timings_json(conversion),
        "baseline": {"metric": conversion.baseline.get("metric")},
        "candidates": [candidate.to_json() for candidate in conversion.candidates],
        "search": conversion.searched.to_json() if conversion.searched else None,
        "selection": _selection(conversion),
        "triton": _triton(conversion),
        "reproduce": {"command": reproduce.command(request)},
        "warnings": list(dict.fromkeys(conversion.warnings)),
        "seconds": conversion.seconds,
    }
    clean: dict[str, Any] = _finite(found)
    return clean


def _exported(conversion: Conversion) -> dict[str, Any]:
    """What a model of scikit-learn or torch was turned into; nothing for others."""
    exported, speed_ = conversion.intake.exported, conversion.sklearn_speed
    if exported is None:
        return {}
    if isinstance(exported, pytorch.Exported):
        return {"torch": exported.facts}
    return {"sklearn": {**exported.facts, "speed": asdict(speed_) if speed_ else None}}


def _finite(value: Any) -> Any:  # noqa: ANN401 (any JSON value)
    """NaN and infinity have no JSON: they become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def _data(conversion: Conversion) -> dict[str, Any]:
    request, intake = conversion.request, conversion.intake
    found: dict[str, Any] = {"calibration": None, "evaluation": None}
    for name, asked, dataset in (
        ("calibration", request.calibration, intake.calibration),
        ("evaluation", request.evaluation, intake.evaluation),
    ):
        if asked is not None and dataset is not None:
            found[name] = {"sha256": asked.digest, "samples": len(dataset)}
    return found


def _code(asked: CodeRequest | None) -> dict[str, Any] | None:
    """Which code of the user's took part; a folder of the command line's machine is not told."""
    if asked is None:
        return None
    address = asked.uri if asked.confined else None
    return {"entrypoint": asked.entry, "storageUri": address, "sha256": asked.digest}


def _gate(conversion: Conversion) -> dict[str, Any]:
    request, traits = conversion.request, conversion.metric
    needs = conversion.baseline.get("needs", {})
    return {
        "metric": traits.name,
        "positiveClass": request.positive_class,
        "unit": traits.unit,
        "direction": traits.direction,
        "range": [traits.low, traits.high],
        "maxDrop": request.max_drop,
        "worstValue": request.worst_value,
        "maxClassDrop": request.max_class_drop,
        "worstClassValue": request.worst_class_value,
        "confidence": request.confidence,
        "method": traits.method,
        "samples": conversion.baseline.get("samples"),
        "resolution": needs.get("resolution"),
        "samplesNeeded": needs.get("samples"),
        "samplesNeededExact": needs.get("exact"),
        "shortfalls": needs.get("shortfalls", []),
    }


def _objective(conversion: Conversion) -> dict[str, Any] | None:
    request = conversion.request
    if request.slo_target is None:
        return None
    outcome = conversion.outcome
    return {
        "percentile": request.slo_percentile,
        "targetSeconds": request.slo_target,
        "measuredSeconds": outcome.race.percentile if outcome else None,
        "met": outcome.objective_met if outcome else None,
    }


def _selection(conversion: Conversion) -> dict[str, Any]:
    chosen = conversion.chosen
    return {
        "variant": chosen.id if chosen else ORIGINAL,
        "technique": chosen.technique if chosen else NO_TECHNIQUE,
        "reason": reason(conversion),
        "rule": "fastest inside the gate; equal within the noise: fewer passes, smaller drop, "
        "smaller file",
        "ranking": list(conversion.ranking.order),
        "paretoIds": _pareto(conversion),
        "proven": conversion.outcome is not None,
    }


def _pareto(conversion: Conversion) -> list[str]:
    """Who is not beaten in everything at once, the original among them."""
    standings = (front.standing(candidate) for candidate in conversion.candidates)
    known = (one for one in standings if one is not None)
    return front.pareto([Standing(id=ORIGINAL), *known])


def _triton(conversion: Conversion) -> dict[str, Any] | None:
    outcome = conversion.outcome
    if outcome is None:
        return None
    return {
        "server": outcome.server,
        "race": asdict(outcome.race) if conversion.chosen else None,
        "batched": asdict(outcome.batched) if outcome.batched else None,
        "metric": outcome.metric,
        "proof": asdict(outcome.proof) if outcome.proof else None,
        "stages": dict(outcome.profile.at(1).stages),
        "loadSeconds": outcome.profile.load_seconds,
        "memoryBytes": memory(outcome.profile, conversion),
        "memorySeen": outcome.profile.memory is not None,
    }


def memory(profile: Profile, conversion: Conversion) -> int:
    """Bytes of one instance: as measured at its peak, or from above where it cannot be seen."""
    seen = profile.memory_peak or profile.memory
    return seen or _BACKEND_BYTES + 3 * Executable(conversion.original).bytes


def reason(conversion: Conversion) -> str:
    """One sentence: why this one, and for scikit-learn what its ONNX model has brought already."""
    return _short(_turned(conversion) + _reason(conversion))


def _turned(conversion: Conversion) -> str:
    found = conversion.sklearn_speed
    if found is None:
        return ""
    return f"As ONNX the model is x{found.speedup:.3g} as fast as in scikit-learn. "


def _reason(conversion: Conversion) -> str:
    chosen, traits = conversion.chosen, conversion.metric
    if chosen is not None:
        verdict = chosen.verdicts["gate"]
        where = "through Triton" if conversion.outcome else "in the runtime"
        change = f"{traits.name} {verdict['before']:.4f} -> {verdict['after']:.4f}"
        text = (
            f"{chosen.id} is x{speedup(conversion):.2f} as fast {where}{_aimed(conversion, chosen)}"
        )
        text = f"{text}; {change}"
        word = "drop" if traits.larger_is_better else "rise"
        return f"{text}, within the {word} of {conversion.request.max_drop:g} that is allowed."
    if conversion.unjudged:
        return _short(f"The original is served: {conversion.unjudged}.")
    if not conversion.candidates:
        return "The original is served: no technique was asked for."
    return _short("The original is served, because no candidate passed. " + _refusals(conversion))


def _aimed(conversion: Conversion, chosen: Candidate) -> str:
    """What was asked for besides, where that is not the speed of one request."""
    objective, outcome, timed = conversion.request.objective, conversion.outcome, chosen.timed
    if objective == Objective.LATENCY.value or timed is None:
        return ""
    batched = outcome.batched.speedup if outcome and outcome.batched else timed.batched_speedup
    speed = f" and x{batched:.2f} at batch {conversion.timings.batch if conversion.timings else 1}"
    memory = f", with 1/{timed.memory_ratio:.2f} of the memory"
    return speed + (memory if objective != Objective.THROUGHPUT.value else "")


def _refusals(conversion: Conversion) -> str:
    def nearness(candidate: Candidate) -> int:
        return _NEARNESS.index(candidate.status) if candidate.status in _NEARNESS else 99

    nearest = sorted(conversion.candidates, key=nearness)
    return "; ".join(f"{c.id}: {c.reason}" for c in nearest) + "."


_NEARNESS = (
    Status.PASSED,
    Status.OBJECTIVE_MISSED,
    Status.TRITON_REFUSED,
    Status.TOO_SLOW,
    Status.GATE_FAILED,
    Status.SMOKE_FAILED,
    Status.INEFFECTIVE,
    Status.ERROR,
)


def _short(text: str) -> str:
    return text if len(text) <= _REASON_MAX else text[: _REASON_MAX - 1] + "…"


def speedup(conversion: Conversion) -> float:
    """Of what is served against the original: through Triton where it was proven there."""
    if conversion.chosen is None:
        return 1.0
    if conversion.outcome is not None:
        return conversion.outcome.race.speedup
    return conversion.chosen.timed.speedup if conversion.chosen.timed else 1.0


def summary(conversion: Conversion, digest: str, evaluated: int) -> Summary:
    """What goes into the status; only for a conversion that was proven in Triton.

    Raises:
        ValueError: it was not.
    """
    outcome, chosen = conversion.outcome, conversion.chosen
    if outcome is None:
        raise ValueError("a conversion that was not proven in Triton has no summary")
    before = conversion.baseline.get("metric", 1.0)
    size = Executable(conversion.original).bytes
    return Summary(
        key=conversion.request.key or "",
        digest=digest,
        variant=chosen.id if chosen else ORIGINAL,
        technique=chosen.technique if chosen else NO_TECHNIQUE,
        reason=reason(conversion),
        bytes_before=size,
        bytes_after=chosen.bytes if chosen else size,
        speedup=speedup(conversion),
        p50_before=outcome.race.p50_before,
        p50_after=outcome.race.p50,
        p99=outcome.profile.at(1).p99,
        metric=conversion.metric.name,
        metric_before=before,
        metric_after=chosen.verdicts["gate"]["after"] if chosen else before,
        gate_max_drop=conversion.request.max_drop,
        candidates=len(conversion.candidates) + 1,
        memory=memory(outcome.profile, conversion),
        load_seconds=outcome.profile.load_seconds or 0.0,
        duty_seconds=outcome.profile.at(1).busy_seconds,
        max_batch=outcome.profile.max_batch,
        evaluated=evaluated,
        duty_batches=tuple(
            (point.batch, point.busy_seconds)
            for point in outcome.profile.points
            if point.concurrency == 1 and point.batch > 1
        ),
    )


def runtime_p50(latency: Latency, clock: str) -> float:
    """Median seconds on the clock that speeds are judged by."""
    return latency.cpu_p50 if clock == "cpu" else latency.wall_p50
