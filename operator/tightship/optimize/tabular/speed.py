"""How fast the ONNX model is against scikit-learn itself, one row at a time.

As in `timing`: fresh pinned processes, and in each of them scikit-learn, ONNX Runtime and
scikit-learn again take turns in bursts. A round gives one ratio, and one of the two for the noise.
"""

from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from tightship.optimize import sandbox, selection
from tightship.optimize.budget import Budget
from tightship.optimize.failures import RefusalError
from tightship.optimize.sandbox import CrashError, Limits
from tightship.optimize.tabular.source import Exported
from tightship.storage import StorageError

_TASK = "tightship.optimize.tabular.task:time_task"


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Median seconds of one row; `noise` is a share: 0.05 means 5 %."""

    sklearn: float
    onnx: float
    speedup: float
    noise: float
    clock: str  # "cpu" | "wall"
    rounds: int


def measure(exported: Exported, threads: int, scratch: Path, budget: Budget) -> Speed | str:
    """The figures, or in a sentence why there are none."""
    clock = "cpu" if threads == 1 else "wall"
    payload = {
        "source": exported.source,
        "model": str(exported.model),
        "rows": str(exported.rows),
        "threads": threads,
        "warmup": budget.timing_warmup,
        "bursts": budget.timing_bursts,
        "seconds": budget.timing_burst_seconds,
    }
    size = exported.model.stat().st_size + Path(exported.source["path"]).stat().st_size
    limits = Limits.for_model(size, budget.export_seconds, budget.scratch_bytes)
    try:
        found = [
            sandbox.run_confined(_TASK, payload, scratch, limits)
            for _ in range(budget.timing_processes_min)
        ]
    except (CrashError, RefusalError, StorageError) as error:
        return f"scikit-learn's own speed could not be measured: {error}"
    return _joined([{name: each[name][clock] for name in each} for each in found], clock)


def _joined(rounds: list[dict[str, Any]], clock: str) -> Speed:
    pairs = [(each["A"], each["A'"]) for each in rounds]
    own = [(first + second) / 2 for first, second in pairs]
    onnx = [each["onnx"] for each in rounds]
    return Speed(
        sklearn=median(own),
        onnx=median(onnx),
        speedup=median(one / other for one, other in zip(own, onnx, strict=True)),
        noise=selection.noise_floor(pairs),
        clock=clock,
        rounds=len(rounds),
    )
