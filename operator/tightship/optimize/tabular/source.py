"""A scikit-learn source in the Job: which file, whether it may be read, and its ONNX model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tightship.api.job import JobRequest
from tightship.optimize import confine, sandbox
from tightship.optimize.budget import Budget
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.folders import Folders
from tightship.optimize.sandbox import CrashError, Limits

MODEL = "model.onnx"
ROWS = "rows"
_SKOPS = ".skops"
_PICKLES = frozenset({".pkl", ".pickle", ".joblib"})
SUFFIXES = frozenset({_SKOPS, *_PICKLES})
_TASK = "tightship.optimize.tabular.task:convert_task"
_SAFE = "Save the model with skops.io.dump as a .skops file"
_SAMPLES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """An ONNX model and what it was made of. `facts` are for the report; `rows` a saved Dataset."""

    source: dict[str, Any]
    model: Path
    rows: Path
    facts: dict[str, Any]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know."""
        return tuple(self.facts["notes"])


def export(request: JobRequest, found: Path, folders: Folders, budget: Budget) -> Exported:
    """The model as ONNX, held equal to scikit-learn's answers.

    Raises:
        RefusalError: code in a pickle that nobody has allowed, or what the conversion refuses.
        StorageError: the code left links in its folder.
    """
    kind = "skops" if found.suffix.lower() == _SKOPS else "pickle"
    if kind == "pickle":
        _may_run_code(found.name, trusted=request.trusted_code)
    source = {"path": str(found), "kind": kind, "trusted": request.trusted_code}
    data = [f for f in (folders.evaluation, folders.calibration) if f.exists()]
    payload = {"source": source, "data": [str(file) for file in data], "samples": _SAMPLES}
    limits = Limits.for_model(found.stat().st_size, budget.export_seconds, budget.scratch_bytes)
    scratch = folders.scratch / "sklearn"
    try:
        facts = sandbox.run_confined(_TASK, payload, scratch, limits)
    except CrashError as crash:
        raise sandbox.refusal(
            crash,
            "The scikit-learn model could not be read and converted",
            "Save it again, or export it as ONNX yourself.",
        ) from crash
    return Exported(
        source=source,
        model=scratch / MODEL,
        rows=scratch / ROWS,
        facts={**facts, "format": kind, "trustedCode": request.trusted_code},
    )


def _may_run_code(name: str, *, trusted: bool) -> None:
    if not trusted:
        raise RefusalError(
            Reason.UNSAFE_MODEL,
            f"'{name}' is a Python pickle, as pickle and joblib write them. Reading it would run "
            f"the code in it. {_SAFE}, or have spec.trustedCode of the ServingPool set to true "
            "(--trusted-code on the command line), which lets models of this pool run code.",
        )
    if not confine.abi():
        raise RefusalError(
            Reason.UNSAFE_MODEL,
            f"'{name}' is a Python pickle, and this node's kernel has no Landlock (Linux 5.13 or "
            f"newer, switched on), which is what holds its code in one folder. {_SAFE}, or convert "
            "on other nodes.",
        )
