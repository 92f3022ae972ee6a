"""Training: smaller models from a user's own trainer, by pruning, distillation, other blocks.

Only this package and `pytorch` import torch, which is an extra; nothing else needs it.
"""

from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tightship.api.training import TrainerRequest, TrainingOptions

_NEEDED = {"torch": "torch", "torch_pruning": "torch-pruning", "onnxscript": "onnxscript"}


def missing() -> str | None:
    """Why nothing can be trained here, with the remedy; None where it can."""
    lacking = [package for module, package in _NEEDED.items() if find_spec(module) is None]
    if not lacking:
        return None
    are = "is" if len(lacking) == 1 else "are"
    return f"{', '.join(lacking)} {are} not installed: pip install tightship[torch]"


def skipped(options: TrainingOptions, reason: str) -> tuple[dict[str, Any], ...]:
    """Each technique that was asked for as a proposal that is not trained, and why."""
    return tuple(
        {"technique": name, "id": name, "reason": reason, "params": {}}
        for name in options.techniques
    )


def setup(asked: TrainerRequest | None, folder: Path | None) -> dict[str, Any] | None:
    """What a child needs to use the trainer in that folder, as JSON; None without one."""
    if asked is None or folder is None:
        return None
    return {"folder": str(folder), "entry": asked.entry, "options": asdict(asked.options)}
