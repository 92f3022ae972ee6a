"""A torch model as source in the Job: which file, whether it may be run, and its ONNX model."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tightship.api.job import JobRequest
from tightship.optimize import confine, sandbox
from tightship.optimize.budget import Budget
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.folders import Folders
from tightship.optimize.pytorch import archive
from tightship.optimize.sandbox import CrashError, Limits

MODEL = "model.onnx"
SUFFIXES = frozenset({".pt", ".pth", ".pt2", ".ts", ".torchscript"})
_TASK = "tightship.optimize.pytorch.task:convert_task"
_NEEDED = ("torch", "onnxscript")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """An ONNX model and what it was made of. `facts` are for the report."""

    model: Path
    facts: dict[str, Any]

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know."""
        return tuple(self.facts["notes"])


def export(request: JobRequest, found: Path, folders: Folders, budget: Budget) -> Exported:
    """The model as ONNX, held equal to torch's answers.

    Raises:
        RefusalError: weights alone, code that nobody has allowed, no torch here, or what the
            conversion refuses.
        StorageError: the code left links in its folder.
    """
    kind = archive.kind(found)
    _may_run(found.name, trusted=request.trusted_code)
    size = found.stat().st_size
    payload = {
        "path": str(found),
        "kind": kind.value,
        "data": _data(folders),
        "samples": budget.proof_samples,
        "batch": budget.evaluation_batch,
    }
    limits = Limits.for_model(size, budget.stage(size), budget.scratch_bytes).with_libraries()
    scratch = folders.scratch / "torch"
    try:
        facts = sandbox.run_confined(_TASK, payload, scratch, limits)
    except CrashError as crash:
        raise sandbox.refusal(
            crash, "The torch model could not be read and converted", "Save it again, or give ONNX."
        ) from crash
    return Exported(model=scratch / MODEL, facts={**facts, "trustedCode": request.trusted_code})


def _data(folders: Folders) -> dict[str, str] | None:
    files = {"evaluation": folders.evaluation, "calibration": folders.calibration}
    present = [{"path": str(file), "what": what} for what, file in files.items() if file.exists()]
    return present[0] if present else None


def _may_run(name: str, *, trusted: bool) -> None:
    if not trusted:
        raise RefusalError(
            Reason.UNSAFE_MODEL,
            f"'{name}' is a program: torch runs the code in a file of torch.jit.save or "
            "torch.export.save. Give ONNX (torch.onnx.export), or have spec.trustedCode of the "
            "ServingPool set to true (--trusted-code on the command line), which lets models of "
            "this pool run code.",
        )
    if not confine.abi():
        raise RefusalError(
            Reason.UNSAFE_MODEL,
            f"'{name}' is a program, and this node's kernel has no Landlock (Linux 5.13 or newer, "
            "switched on), which is what holds its code in one folder. Give ONNX "
            "(torch.onnx.export), or convert on other nodes.",
        )
    lacking = [module for module in _NEEDED if find_spec(module) is None]
    if lacking:
        raise RefusalError(
            Reason.UNSUPPORTED_MODEL,
            f"This converter has no {' and no '.join(lacking)}. Set spec.converter.image of the "
            "ServingPool to the image converter-torch; on the command line: pip install "
            "tightship[torch]. Or give ONNX.",
        )
