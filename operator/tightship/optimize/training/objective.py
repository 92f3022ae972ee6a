"""What is minimised: the task's loss, the distance from the original's answers, L1 of the weights.

Distillation: Hinton, Vinyals, Dean 2015, arxiv.org/abs/1503.02531. The squared temperature keeps
the gradients of both parts comparable when the temperature changes.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tightship.optimize.training.subject import Subject, invalid

_WEIGHT_RANK = 2  # biases and norms are vectors: they are left alone


class Objective:
    """The loss of a batch. `teacher` is the original, None without distillation."""

    def __init__(self, subject: Subject, teacher: nn.Module | None) -> None:
        self._subject, self._options = subject, subject.options
        distils = teacher is not None and subject.options.alpha > 0
        self.teacher = teacher.eval() if distils and teacher is not None else None
        self._distance = subject.optional("distance")

    def loss(self, model: nn.Module, inputs: tuple[Tensor, ...], target: Tensor) -> Tensor:
        """Of one batch in training, without the L1 part."""
        outputs = model(*inputs)
        share = self._options.alpha if self.teacher is not None else 0.0
        total = outputs_loss = torch.zeros(())
        if share < 1:
            outputs_loss = self._subject.trainer.loss(outputs, target)
            total = (1 - share) * outputs_loss
        if self.teacher is not None:
            total = total + share * self.distance(outputs, self.answers(inputs))
        if total.ndim:
            raise invalid(f"gives a loss of shape {list(total.shape)}; a single number is due")
        return total

    def penalty(self, model: nn.Module) -> Tensor:
        """L1 of the weights; outside of mixed precision, where a sum of many would overflow."""
        weights = [p for p in model.parameters() if p.requires_grad and p.ndim >= _WEIGHT_RANK]
        sums = [weight.abs().sum() for weight in weights]
        return self._options.l1 * torch.stack(sums).sum() if sums else torch.zeros(())

    def answers(self, inputs: tuple[Tensor, ...]) -> Any:  # noqa: ANN401 (as the model answers)
        """The original's answers."""
        if self.teacher is None:
            raise ValueError("without a teacher there are no answers of the original")
        with torch.no_grad():
            return self.teacher(*inputs)

    def distance(self, outputs: Any, original: Any) -> Tensor:  # noqa: ANN401 (likewise)
        """How far answers are from the original's."""
        if self._distance is not None:
            found: Tensor = self._distance(outputs, original)
            return found
        if isinstance(outputs, tuple | list):
            parts = [self.distance(a, b) for a, b in zip(outputs, original, strict=True)]
            return torch.stack(parts).sum()
        if self._subject.classes:
            return divergence(outputs, original, self._options.temperature)
        return functional.mse_loss(outputs, original)


def divergence(outputs: Tensor, original: Tensor, temperature: float) -> Tensor:
    """T^2 KL(softmax(original / T) || softmax(outputs / T)), mean over the samples."""
    soft = functional.softmax(original.float() / temperature, 1)
    logs = functional.log_softmax(outputs.float() / temperature, 1)
    return functional.kl_div(logs, soft, reduction="batchmean") * temperature**2
