"""L1-structured pruning: whole channels are removed through all layers that depend on them.

The dependency graph is torch-pruning's (Fang et al. 2023, arxiv.org/abs/2301.12900); a channel's
importance is the L1 norm of its weights (Li et al. 2017, arxiv.org/abs/1608.08710). `width` takes
the same smaller shapes with fresh weights, so that all is learned from the original's answers.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch_pruning
from torch import Tensor, nn

from tightship.optimize.training.loop import seeded
from tightship.optimize.training.proposal import Made, Proposal, parameters
from tightship.optimize.training.subject import Subject, invalid

SHARES = (0.25, 0.5, 0.75)
WIDTHS = (0.5, 0.75)
_PRUNABLE = (nn.Linear, nn.modules.conv._ConvNd)  # noqa: SLF001 (what all convolutions share)
_LANES = 8  # channels that one instruction works on: other widths bring less
_NARROW = 32  # below it rounding to whole lanes would take the choice away


def propose(subject: Subject) -> Sequence[Proposal]:
    """One candidate for each share of removed channels."""
    return _proposals(subject, "channels", SHARES)


def propose_width(subject: Subject) -> Sequence[Proposal]:
    """One candidate for each narrower model with fresh weights."""
    return _proposals(subject, "width", WIDTHS)


def _proposals(subject: Subject, name: str, shares: Sequence[float]) -> Sequence[Proposal]:
    model = subject.build()
    ids = [f"{name}-{share:.0%}".rstrip("%") for share in shares]
    try:
        graph = dependencies(model, subject.examples)
    except Exception as error:  # noqa: BLE001 (torch-pruning raises whatever it meets)
        reason = f"its layers' dependencies cannot be traced: {str(error)[:200]}"
        return [Proposal(id=each, reason=reason) for each in ids]
    if not _free(model, graph):
        reason = "no layer has channels that may be removed: all of them reach the outputs"
        return [Proposal(id=each, reason=reason) for each in ids]
    return [
        Proposal(id=each, params={"share": share}) for each, share in zip(ids, shares, strict=True)
    ]


def apply(subject: Subject, params: Mapping[str, Any]) -> Made:
    """The original without that share of each layer's channels, least important first.

    Raises:
        RefusalError: the smaller model does not run, or answers in another shape.
    """
    return _pruned(subject, float(params["share"]), fresh=False)


def apply_width(subject: Subject, params: Mapping[str, Any]) -> Made:
    """The same shapes with fresh weights."""
    return _pruned(subject, float(params["share"]), fresh=True)


def _pruned(subject: Subject, share: float, *, fresh: bool) -> Made:
    seeded(subject.options)
    model = subject.build()
    before, wanted = parameters(model), _shapes(model, subject.examples)
    free = _free(model, dependencies(model, subject.examples))
    pruner = torch_pruning.pruner.MagnitudePruner(
        model,
        subject.examples,
        importance=torch_pruning.importance.MagnitudeImportance(p=1),
        pruning_ratio=share,
        ignored_layers=[m for m in model.modules() if isinstance(m, _PRUNABLE) and m not in free],
        round_to=_LANES if min(_width(module) for module in free) >= _NARROW else None,
    )
    pruner.step()
    _check(model, subject, wanted)
    after = parameters(model)
    if fresh:
        reset(model)
    return Made(
        model=model,
        notes=(f"{before} parameters -> {after}",),
        coverage={"parameterShare": after / before},
    )


def dependencies(model: nn.Module, examples: Sequence[Tensor]) -> Any:  # noqa: ANN401 (untyped)
    """torch-pruning's graph of which layers' channels belong together, traced by gradients."""
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return torch_pruning.DependencyGraph().build_dependency(model, tuple(examples))


def _free(model: nn.Module, graph: Any) -> list[nn.Module]:  # noqa: ANN401 (untyped)
    """Layers whose channels end in another layer, and not in the model's outputs."""
    found = []
    for module in model.modules():
        if not isinstance(module, _PRUNABLE) or _width(module) < 2:  # noqa: PLR2004 (one stays)
            continue
        remove = graph.get_pruner_of_module(module).prune_out_channels
        group = graph.get_pruning_group(module, remove, idxs=[0])
        if any(graph.is_in_channel_pruning_fn(each.dep.handler) for each in group):
            found.append(module)
    return found


def _width(module: nn.Module) -> int:
    width = getattr(module, "out_channels", None)
    return int(width if width is not None else module.out_features)


def _shapes(model: nn.Module, examples: Sequence[Tensor]) -> list[tuple[int, ...]]:
    with torch.no_grad():
        answers = model(*examples)
    return [tuple(a.shape) for a in (answers if isinstance(answers, tuple | list) else [answers])]


def _check(model: nn.Module, subject: Subject, wanted: list[tuple[int, ...]]) -> None:
    try:
        found = _shapes(model, subject.examples)
    except RuntimeError as error:
        raise invalid(
            f"builds a model that does not run with fewer channels ({str(error)[:120]}); sizes in "
            "its forward() that are written as numbers are the usual cause"
        ) from error
    if found != wanted:
        raise invalid("builds a model whose outputs change their shape with fewer channels")


def reset(model: nn.Module) -> None:
    """Fresh weights, as each layer draws them itself."""
    for module in model.modules():
        again = getattr(module, "reset_parameters", None)
        if callable(again):
            again()
