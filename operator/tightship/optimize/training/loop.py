"""The training loop: mixed precision, schedules, early stopping, best weights restored, seeded.

Early stopping watches the task metric. Between equal metrics the distance from the original
decides, or without distillation the loss: stopping on the loss alone ends distillation too early.
"""

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler

from tightship.api.training import TrainingOptions
from tightship.optimize.budget import cpus
from tightship.optimize.training.objective import Objective
from tightship.optimize.training.subject import Subject, invalid

Weights = dict[str, Tensor]
AfterStep = Callable[[], None]

_HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}
_MOMENTUM = 0.9
_STEPS = 3  # of the schedule `step`: a tenth of the rate after each third
_TIE = 1e-9


@dataclass(slots=True)
class History:
    """How a training went. `metric` is of the weights that were kept."""

    metric: float
    before: float  # metric of the weights that training began with
    epochs: int = 0
    best_epoch: int = 0
    seconds: float = 0.0
    out_of_time: bool = False
    metrics: list[float] = field(default_factory=list)  # after each epoch

    def told(self) -> str:
        """One sentence for the report."""
        ended = "the time limit" if self.out_of_time else f"{self.epochs} epochs"
        return (
            f"trained for {self.seconds:.0f} s until {ended}; validation metric "
            f"{self.before:.4f} -> {self.metric:.4f} (epoch {self.best_epoch})"
        )


def seeded(options: TrainingOptions) -> None:
    """Everything that torch draws by chance, and as many threads as are asked for."""
    torch.set_num_threads(options.threads or cpus())
    torch.manual_seed(options.seed)
    torch.use_deterministic_algorithms(True)


def fit(
    model: nn.Module,
    subject: Subject,
    teacher: nn.Module | None = None,
    after_step: AfterStep | None = None,
) -> History:
    """Train `model` in place and leave it with its best weights, for evaluation.

    `after_step` is called after each change of the weights: masks are held by it.

    Raises:
        RefusalError: the loss is no single number, or no weight can be trained.
    """
    return _Training(model, subject, teacher, after_step or _nothing).run()


def _nothing() -> None:
    """No mask to hold."""


class _Training:
    def __init__(
        self, model: nn.Module, subject: Subject, teacher: nn.Module | None, after: AfterStep
    ) -> None:
        seeded(subject.options)
        self._model, self._subject, self._after = model, subject, after
        self._options = subject.options
        self._objective = Objective(subject, teacher)
        self._optimizer = optimizer(model, self._options)
        steps = self._options.epochs * len(subject.train)
        self._schedule = schedule(self._optimizer, self._options, steps)
        self._half = _HALVES.get(self._options.precision)
        self._scaler = torch.amp.GradScaler("cpu", enabled=self._half is torch.float16)

    def run(self) -> History:
        started = time.monotonic()
        best, kept = self._validated(), _copied(self._model)
        history = History(metric=best[0], before=best[0])
        for epoch in range(1, self._options.epochs + 1):
            whole = self._epoch(started + self._options.seconds)
            score = self._validated()
            history.epochs = epoch
            history.metrics.append(score[0])
            if better(score, best):
                best, kept, history.best_epoch = score, _copied(self._model), epoch
            history.out_of_time = not whole
            if not whole or epoch - history.best_epoch >= self._options.patience:
                break
        self._model.load_state_dict(kept)
        self._model.eval()
        history.metric, history.seconds = best[0], time.monotonic() - started
        return history

    def _epoch(self, end: float) -> bool:
        """One pass over the training data; False when time ran out before its end."""
        self._model.train()
        for *inputs, target in self._subject.train:
            if time.monotonic() > end:
                return False
            self._step(tuple(inputs), target)
        return True

    def _step(self, inputs: tuple[Tensor, ...], target: Tensor) -> None:
        with torch.autocast("cpu", dtype=self._half, enabled=self._half is not None):
            loss = self._objective.loss(self._model, inputs, target)
        if self._options.l1:
            loss = loss + self._objective.penalty(self._model)
        self._optimizer.zero_grad()
        scaled = self._scaler.scale(loss)
        before = self._scaler.get_scale()
        scaled.backward()
        self._scaler.step(self._optimizer)
        self._scaler.update()
        if self._scaler.get_scale() >= before:  # a smaller scale says that this step was left out
            self._schedule.step()
        self._after()

    def _validated(self) -> tuple[float, float]:
        """(metric, minus the tie-break) over all validation samples, in full precision."""
        self._model.eval()
        outputs, targets, distances = [], [], []
        with torch.no_grad():
            for *inputs, target in self._subject.validation:
                answers = self._model(*inputs)
                weight = float(len(target))
                distances.append((weight, float(self._tie(answers, tuple(inputs), target))))
                outputs.append(answers)
                targets.append(target)
            metric = _metric(self._subject, outputs, targets)
        count = sum(weight for weight, _ in distances)
        return metric, -sum(weight * each for weight, each in distances) / count

    def _tie(self, answers: Tensor, inputs: tuple[Tensor, ...], target: Tensor) -> Tensor:
        if self._objective.teacher is not None:
            return self._objective.distance(answers, self._objective.answers(inputs))
        return self._subject.trainer.loss(answers, target)


def better(score: tuple[float, float], best: tuple[float, float]) -> bool:
    """Whether a score beats the best: by its metric, or between equal ones by the tie-break."""
    if abs(score[0] - best[0]) > _TIE:
        return score[0] > best[0]
    return score[1] > best[1] + _TIE


def optimizer(model: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    """The optimizer over what can be trained; `l2` is its weight decay.

    Raises:
        RefusalError: every weight is frozen.
    """
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if not weights:
        raise invalid("gives a model of which no weight can be trained (requires_grad is off)")
    rate, decay = options.learning_rate, options.l2
    if options.optimizer == "sgd":
        return torch.optim.SGD(weights, rate, momentum=_MOMENTUM, weight_decay=decay)
    if options.optimizer == "adam":
        return torch.optim.Adam(weights, rate, weight_decay=decay)
    return torch.optim.AdamW(weights, rate, weight_decay=decay)


def schedule(
    of: torch.optim.Optimizer, options: TrainingOptions, steps: int
) -> lr_scheduler.LRScheduler:
    """The learning rate over `steps` changes of the weights."""
    if options.schedule == "constant":
        return lr_scheduler.ConstantLR(of, factor=1.0)
    if options.schedule == "step":
        return lr_scheduler.StepLR(of, max(1, -(-steps // _STEPS)), gamma=0.1)
    if options.schedule == "one-cycle":
        # The first steps are of a whole cycle; one more than are taken, so that it never ends.
        return lr_scheduler.OneCycleLR(of, options.learning_rate, total_steps=steps + 1)
    return lr_scheduler.CosineAnnealingLR(of, steps)


def _metric(subject: Subject, outputs: list[Tensor], targets: list[Tensor]) -> float:
    together, target = _joined(outputs), torch.cat(targets)
    own = subject.optional("metric")
    if own is not None:
        return float(own(together, target))
    if subject.classes:
        return float((together.argmax(1) == target).float().mean())
    return -float(subject.trainer.loss(together, target))


def _joined(outputs: list[Tensor]) -> Tensor:
    """All batches' answers as the model gives one batch's: a tensor, or several of them."""
    if isinstance(outputs[0], tuple | list):
        parts = zip(*outputs, strict=True)
        joined: Tensor = tuple(torch.cat(list(part)) for part in parts)
        return joined
    return torch.cat(outputs)


def _copied(model: nn.Module) -> Weights:
    return copy.deepcopy(model.state_dict())
