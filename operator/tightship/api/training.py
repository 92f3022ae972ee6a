"""What is asked of training: whose code gives model and data, and every option of the loop."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from tightship.api.code import CodeRequest

CHANNELS = "channels"
ZEROS = "zeros"
STUDENTS = "students"
SEPARABLE = "separable"
DEPTH = "depth"
WIDTH = "width"
BLOCKS = "blocks"

TECHNIQUES = (CHANNELS, SEPARABLE, DEPTH, WIDTH, BLOCKS, STUDENTS, ZEROS)
DEFAULT_TECHNIQUES = (CHANNELS, SEPARABLE, DEPTH, WIDTH, BLOCKS, STUDENTS)  # zeros bring no speed

OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("cosine", "constant", "step", "one-cycle")
PRECISIONS = ("fp32", "bf16", "fp16")

_LEAST: dict[str, float] = {
    "epochs": 1,
    "batch_size": 1,
    "l1": 0,
    "l2": 0,
    "patience": 1,
    "seed": 0,
    "threads": 1,
}
_ABOVE_ZERO = ("learning_rate", "temperature", "seconds")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """How everything is trained. Values out of their range raise ValueError, in plain words.

    `alpha` is the share of the original's answers in the loss, 0 without distillation. `seconds`
    is what one training may take; it then ends with the best weights so far.
    """

    techniques: tuple[str, ...] = DEFAULT_TECHNIQUES
    epochs: int = 30
    batch_size: int | None = None  # None: 64, or the trainer's own batches
    optimizer: str = OPTIMIZERS[0]
    learning_rate: float = 1e-3
    schedule: str = SCHEDULES[0]
    l1: float = 0.0
    l2: float = 1e-3
    precision: str = PRECISIONS[0]
    patience: int = 8
    temperature: float = 2.0
    alpha: float = 0.5
    seed: int = 0
    seconds: float = 600.0
    threads: int | None = None  # None: every processor

    def __post_init__(self) -> None:
        _known("techniques", self.techniques, TECHNIQUES)
        _known("optimizer", (self.optimizer,), OPTIMIZERS)
        _known("schedule", (self.schedule,), SCHEDULES)
        _known("precision", (self.precision,), PRECISIONS)
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not value >= least:
                raise ValueError(f"training option {name} is {value}; the least is {least:g}")
        for name in _ABOVE_ZERO:
            if not getattr(self, name) > 0:
                raise ValueError(f"training option {name} has to be greater than 0")
        if not 0 <= self.alpha <= 1:
            raise ValueError(f"training option alpha is {self.alpha}; it is a share, from 0 to 1")

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> TrainingOptions:
        """Reads the fields' JSON values.

        Raises:
            ValueError: a field is unknown, or a value out of its range.
        """
        unknown = sorted(set(raw) - {each.name for each in fields(cls)})
        if unknown:
            raise ValueError(f"there is no training option {', '.join(unknown)}")
        given = dict(raw)
        if "techniques" in given:
            given["techniques"] = tuple(given["techniques"])
        return cls(**given)


def _known(name: str, values: tuple[str, ...], choices: tuple[str, ...]) -> None:
    for value in values:
        if value not in choices:
            raise ValueError(f"training option {name}: {value!r} is none of {', '.join(choices)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerRequest(CodeRequest):
    """A user's trainer, and how it trains."""

    options: TrainingOptions = field(default_factory=TrainingOptions)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> TrainerRequest:
        """Reads what `dataclasses.asdict` made.

        Raises:
            ValueError: a field is missing or unknown, or an option is out of its range.
        """
        try:
            return cls(**{**raw, "options": TrainingOptions.from_json(raw["options"])})
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a trainer request: {error}") from error
