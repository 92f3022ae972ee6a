"""Convolutions replaced by depthwise-separable ones, which begin as the nearest of the original.

A k x k convolution over all channels becomes a k x k one for each channel and a 1 x 1 one that
mixes them (Howard et al. 2017, arxiv.org/abs/1704.04861). For each input channel i the weights
W[:, i] are a matrix of (outputs, k * k); its first singular vectors are the best product of the two
in the square norm, so that training does not begin from nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from tightship.optimize.training.proposal import Made, Proposal, parameters
from tightship.optimize.training.subject import Subject

ID = "separable"
_LEAST_CHANNELS = 8  # of input; with fewer the two convolutions cost as much as the one
_KINDS = {nn.Conv1d: nn.Conv1d, nn.Conv2d: nn.Conv2d}


def propose(subject: Subject) -> Sequence[Proposal]:
    """All convolutions that can be replaced, at once."""
    if not replaceable(subject.build()):
        reason = (
            "the model has no convolution wider than 1 x 1 over at least "
            f"{_LEAST_CHANNELS} channels that is not depthwise already"
        )
        return [Proposal(id=ID, reason=reason)]
    return [Proposal(id=ID)]


def apply(subject: Subject, params: Mapping[str, Any]) -> Made:
    """The original with all of them replaced."""
    del params
    model = subject.build()
    before, paths = parameters(model), replaceable(model)
    for path in paths:
        model.set_submodule(path, separated(model.get_submodule(path)))
    return Made(
        model=model.eval(),
        notes=(f"{len(paths)} convolutions replaced: {', '.join(paths)[:200]}",),
        coverage={"parameterShare": parameters(model) / before},
    )


def replaceable(model: nn.Module) -> list[str]:
    """Paths of the convolutions that are worth replacing."""
    return [path for path, module in model.named_modules() if path and _worth(module)]


def _worth(module: nn.Module) -> bool:
    return (
        type(module) in _KINDS
        and module.groups == 1
        and module.in_channels >= _LEAST_CHANNELS
        and module.weight[0, 0].numel() > 1
    )


def separated(whole: Any) -> nn.Sequential:  # noqa: ANN401 (a convolution of one or two axes)
    """The two convolutions that come nearest to the one."""
    kind = _KINDS[type(whole)]
    first = kind(
        whole.in_channels,
        whole.in_channels,
        whole.kernel_size,
        whole.stride,
        whole.padding,
        whole.dilation,
        groups=whole.in_channels,
        bias=False,
        padding_mode=whole.padding_mode,
    )
    second = kind(whole.in_channels, whole.out_channels, 1, bias=whole.bias is not None)
    with torch.no_grad():
        own, mixing = nearest(whole.weight)
        first.weight.copy_(own)
        second.weight.copy_(mixing)
        if whole.bias is not None:
            second.bias.copy_(whole.bias)
    return nn.Sequential(first, second)


def nearest(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (inputs, 1, k...) and (outputs, inputs, 1...) whose products come nearest."""
    outputs, inputs, *kernel = weight.shape
    matrices = weight.detach().movedim(1, 0).reshape(inputs, outputs, -1)
    left, sizes, right = torch.linalg.svd(matrices.double(), full_matrices=False)
    scale = sizes[:, :1].sqrt()
    own = (scale * right[:, 0]).reshape(inputs, 1, *kernel)
    mixing = (scale * left[:, :, 0]).T.reshape(outputs, inputs, *[1 for _ in kernel])
    return own.to(weight.dtype), mixing.to(weight.dtype)
