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
    original = subject.build()
    before, wanted = parameters(original), _shapes(original, subject.examples)
    free = _free(original, dependencies(original, subject.examples))
    model = _smaller(subject, share, free)
    notes: tuple[str, ...] = ()
    if not _runs(model, subject, wanted):
        kept = [path for path in free if _harmless(subject, path, wanted)]
        model = _smaller(subject, share, kept)
        notes = (f"left as wide as they are: {', '.join(sorted(set(free) - set(kept)))[:200]}",)
        if not kept or not _runs(model, subject, wanted):
            raise invalid(
                "builds a model that does not run, or answers in another shape, with fewer "
                "channels; sizes in its forward() that are written as numbers are the usual cause"
            )
    after = parameters(model)
    if fresh:
        reset(model)
    notes = (f"{before} parameters -> {after}", *notes)
    return Made(model=model, notes=notes, coverage={"parameterShare": after / before})


def _smaller(subject: Subject, share: float, paths: Sequence[str]) -> nn.Module:
    """A copy in which the layers at these paths, and what depends on them, have fewer channels."""
    model = subject.build()
    dependencies(model, subject.examples)
    free = [model.get_submodule(path) for path in paths]
    if not free:
        return model
    torch_pruning.pruner.MagnitudePruner(
        model,
        subject.examples,
        importance=torch_pruning.importance.MagnitudeImportance(p=1),
        pruning_ratio=share,
        ignored_layers=[m for m in model.modules() if isinstance(m, _PRUNABLE) and m not in free],
        round_to=_LANES if min(_width(module) for module in free) >= _NARROW else None,
    ).step()
    return model


def _harmless(subject: Subject, path: str, wanted: list[tuple[int, ...]]) -> bool:
    """Whether one channel less in that layer leaves a model that answers in the same shapes."""
    model = subject.build()
    graph, module = dependencies(model, subject.examples), model.get_submodule(path)
    remove = graph.get_pruner_of_module(module).prune_out_channels
    graph.get_pruning_group(module, remove, idxs=[0]).prune()
    return _runs(model, subject, wanted)


def dependencies(model: nn.Module, examples: Sequence[Tensor]) -> Any:  # noqa: ANN401 (untyped)
    """torch-pruning's graph of which layers' channels belong together, traced by gradients."""
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    return torch_pruning.DependencyGraph().build_dependency(model, tuple(examples))


def _free(model: nn.Module, graph: Any) -> list[str]:  # noqa: ANN401 (untyped)
    """Paths of layers whose channels end in another layer, and not in the model's outputs alone."""
    found = []
    for path, module in model.named_modules():
        if not isinstance(module, _PRUNABLE) or _width(module) < 2:  # noqa: PLR2004 (one stays)
            continue
        remove = graph.get_pruner_of_module(module).prune_out_channels
        group = graph.get_pruning_group(module, remove, idxs=[0])
        if any(graph.is_in_channel_pruning_fn(each.dep.handler) for each in group):
            found.append(path)
    return found


def _width(module: nn.Module) -> int:
    width = getattr(module, "out_channels", None)
    return int(width if width is not None else module.out_features)


def _shapes(model: nn.Module, examples: Sequence[Tensor]) -> list[tuple[int, ...]]:
    with torch.no_grad():
        answers = model(*examples)
    return [tuple(a.shape) for a in (answers if isinstance(answers, tuple | list) else [answers])]


def _runs(model: nn.Module, subject: Subject, wanted: list[tuple[int, ...]]) -> bool:
    try:
        return _shapes(model, subject.examples) == wanted
    except RuntimeError:  # torch's, where sizes do not fit
        return False


def reset(model: nn.Module) -> None:
    """Fresh weights, as each layer draws them itself."""
    for module in model.modules():
        again = getattr(module, "reset_parameters", None)
        if callable(again):
            again()
