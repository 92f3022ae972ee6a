"""Unstructured zeros, held by masks while the rest is fine-tuned: by magnitude, and two of four.

They make a model compressible and no faster: no runtime here leaves out a product with zero.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tightship.optimize import sparsity
from tightship.optimize.training.channels import _PRUNABLE
from tightship.optimize.training.proposal import Made, Proposal
from tightship.optimize.training.subject import Subject

SHARE = 0.5
MAGNITUDE, TWO_OF_FOUR = "magnitude", "2:4"


def propose(subject: Subject) -> Sequence[Proposal]:
    """Half of the weights by magnitude, and two of each four."""
    ids = {f"zeros-{SHARE:.0%}".rstrip("%"): MAGNITUDE, "zeros-2of4": TWO_OF_FOUR}
    if not weighted(subject.build()):
        reason = "the model has no convolution and no linear layer"
        return [Proposal(id=each, reason=reason) for each in ids]
    return [
        Proposal(id=each, params={"pattern": pattern, "share": SHARE})
        for each, pattern in ids.items()
    ]


def apply(subject: Subject, params: Mapping[str, Any]) -> Made:
    """The original with masks on all weight matrices."""
    model = subject.build()
    masks = {
        weight: by_magnitude(weight.detach(), float(params["share"]))
        if params["pattern"] == MAGNITUDE
        else two_of_four(weight.detach())
        for weight in weighted(model)
    }
    hold = _holder(masks)
    hold()
    count = sum(mask.numel() for mask in masks.values())
    zeroed = sum(int((~mask).sum()) for mask in masks.values())
    return Made(model=model, after_step=hold, coverage={"zeroWeightShare": zeroed / count})


def _holder(masks: Mapping[Tensor, Tensor]) -> Callable[[], None]:
    def hold() -> None:
        with torch.no_grad():
            for weight, mask in masks.items():
                weight.mul_(mask)

    return hold


def weighted(model: nn.Module) -> list[Tensor]:
    """Weight matrices of convolutions and linear layers."""
    return [module.weight for module in model.modules() if isinstance(module, _PRUNABLE)]


def by_magnitude(weight: Tensor, share: float) -> Tensor:
    """False for that share of the entries, the smallest."""
    kept = torch.ones(weight.numel(), dtype=torch.bool)
    kept[weight.abs().flatten().argsort(stable=True)[: int(weight.numel() * share)]] = False
    return kept.reshape(weight.shape)


def two_of_four(weight: Tensor) -> Tensor:
    """False for the two smallest of each four along the input channels: for sparse tensor cores.

    A layer whose input channels are no multiple of four is left as it is.
    """
    return torch.from_numpy(sparsity.two_of_four(weight.numpy(), axis=1))
