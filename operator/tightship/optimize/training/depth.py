"""Depth reduction: every second block whose output has its input's shape is left out."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tightship.optimize.training.proposal import Made, Proposal, parameters
from tightship.optimize.training.subject import Subject

ID = "depth"
_LISTS = (nn.Sequential, nn.ModuleList)


def propose(subject: Subject) -> Sequence[Proposal]:
    """The model with about half of its blocks that can be left out."""
    if not removable(subject.build(), subject.examples):
        reason = (
            "no block can be left out: none in an nn.Sequential or nn.ModuleList has weights, one "
            "input, and an output of its shape"
        )
        return [Proposal(id=ID, reason=reason)]
    return [Proposal(id=ID)]


def apply(subject: Subject, params: Mapping[str, Any]) -> Made:
    """The original with every second of these blocks passing its input on."""
    del params
    model = subject.build()
    before, paths = parameters(model), removable(model, subject.examples)[::-2]
    for path in paths:
        model.set_submodule(path, nn.Identity())
    return Made(
        model=model,
        notes=(f"left out: {', '.join(paths)[:200]}",),
        coverage={"parameterShare": parameters(model) / before},
    )


def removable(model: nn.Module, examples: Sequence[Tensor]) -> list[str]:
    """Paths of blocks that pass on one tensor in its shape, outermost only, in their order."""
    listed = {
        id(child) for module in model.modules() if isinstance(module, _LISTS) for child in module
    }
    kept: dict[str, bool] = {}
    hooks = [
        module.register_forward_hook(_observer(path, kept))
        for path, module in model.named_modules()
        if id(module) in listed and any(True for _ in module.parameters()) and _computes(module)
    ]
    with torch.no_grad():
        model(*examples)
    for hook in hooks:
        hook.remove()
    found = [path for path, _ in model.named_modules() if kept.get(path)]
    return [p for p in found if not any(p.startswith(f"{other}.") for other in found)]


def _computes(module: nn.Module) -> bool:
    """Not a norm or an activation alone, without which a model is as deep as with it."""
    return any(
        isinstance(each, nn.Linear | nn.modules.conv._ConvNd | nn.RNNBase | nn.MultiheadAttention)  # noqa: SLF001 (what all convolutions share)
        for each in module.modules()
    )


def _observer(path: str, kept: dict[str, bool]) -> Any:  # noqa: ANN401 (a hook of torch)
    def observe(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:  # noqa: ANN401
        del module
        same = len(inputs) == 1 and all(isinstance(each, Tensor) for each in (*inputs, output))
        same = same and inputs[0].shape == output.shape
        kept[path] = kept.get(path, True) and same

    return observe
