"""From a trained module to an ONNX file with the original's interface, compared with torch."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tightship.optimize import graph, normalise, runtime
from tightship.optimize.contract import Contract
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.runtime import Outputs
from tightship.optimize.training.subject import Subject, invalid

SAMPLES = 8  # at least, of each comparison
_RAW = "exported.onnx"


def export(model: nn.Module, subject: Subject, contract: Contract, target: Path) -> tuple[str, ...]:
    """Write `target`, cleaned where its answers stay those of torch; notes for the report.

    Raises:
        RefusalError: the file answers otherwise than the module does, or has another interface.
    """
    fits(subject, contract)
    model.eval()
    raw = target.with_name(_RAW)
    _write(model, subject.examples, contract, raw)
    samples = feeds(subject, contract)
    expected = torch_answers(model, samples, contract)
    problem = differs(raw, contract, samples, expected)
    if problem:
        raise RefusalError(
            Reason.UNSUPPORTED_MODEL, f"the exported file answers otherwise than torch: {problem}"
        )
    return _cleaned(raw, target, contract, samples, expected)


def fits(subject: Subject, contract: Contract) -> None:
    """Whether the examples are inputs of the original model.

    Raises:
        RefusalError: no batch axis, another number of inputs, or other shapes or types.
    """
    if not contract.batched:
        raise RefusalError(
            Reason.INVALID_TRAINER,
            "A model without a batch axis cannot be trained: export it with one (dynamic_axes), "
            "or leave the trainer out.",
        )
    if len(subject.examples) != len(contract.inputs):
        raise invalid(
            f"gives {len(subject.examples)} inputs in a sample; the model takes "
            f"{len(contract.inputs)}: {', '.join(tensor.name for tensor in contract.inputs)}"
        )
    for given, tensor in zip(subject.examples, contract.inputs, strict=True):
        dims, shape = contract.sample_dims(tensor), tuple(given.shape[1:])
        agrees = len(dims) == len(shape) and all(
            wanted in (None, size) for wanted, size in zip(dims, shape, strict=True)
        )
        kind = str(given.dtype).removeprefix("torch.")
        if not agrees or kind != tensor.dtype:
            raise invalid(
                f"gives samples of '{tensor.name}' with shape {list(shape)} of {kind}; the model "
                f"takes {list(dims)} of {tensor.dtype}"
            )


def _write(model: nn.Module, examples: Sequence[Tensor], contract: Contract, target: Path) -> None:
    """Every axis that may vary in the original's inputs may vary in the file's."""
    free = torch.export.Dim.DYNAMIC
    torch.onnx.export(
        model,
        tuple(each.clone() for each in examples),
        str(target),
        dynamo=True,
        external_data=False,
        input_names=[tensor.name for tensor in contract.inputs],
        output_names=[tensor.name for tensor in contract.outputs],
        dynamic_shapes=tuple(
            {axis: free for axis, size in enumerate(tensor.dims) if size is None}
            for tensor in contract.inputs
        ),
        verbose=False,
    )


def feeds(subject: Subject, contract: Contract) -> list[Outputs]:
    """Inputs of SAMPLES different samples: as one batch, singly, and in a batch of another size."""
    names = [tensor.name for tensor in contract.inputs]
    parts: list[list[Tensor]] = [[] for _ in names]
    for *inputs, _ in subject.validation:
        for part, given in zip(parts, inputs, strict=True):
            part.append(given)
        if sum(len(each) for each in parts[0]) >= SAMPLES:
            break
    whole = [torch.cat(part)[:SAMPLES].numpy() for part in parts]
    sizes = (slice(0, SAMPLES), slice(0, 1), slice(1, 4))
    return [{n: a[rows] for n, a in zip(names, whole, strict=True)} for rows in sizes]


def torch_answers(
    model: nn.Module, samples: Sequence[Outputs], contract: Contract
) -> list[Outputs]:
    """The module's answers by the contract's names.

    Raises:
        RefusalError: another number of outputs than the original has.
    """
    found = []
    for feed in samples:
        with torch.no_grad():
            given = model(*(torch.from_numpy(np.ascontiguousarray(a)) for a in feed.values()))
        answers = list(given) if isinstance(given, tuple | list) else [given]
        if len(answers) != len(contract.outputs):
            raise invalid(
                f"builds a model with {len(answers)} outputs; the file has {len(contract.outputs)}"
            )
        names = (tensor.name for tensor in contract.outputs)
        found.append({n: a.detach().numpy() for n, a in zip(names, answers, strict=True)})
    return found


def differs(
    file: Path, contract: Contract, samples: Sequence[Outputs], expected: Sequence[Outputs]
) -> str | None:
    """What the file answers otherwise than expected; None when nothing."""
    names = [tensor.name for tensor in contract.outputs]
    session = runtime.session(file, 1)
    for feed, wanted in zip(samples, expected, strict=True):
        answers = dict(zip(names, session.run(names, dict(feed)), strict=True))
        problem = normalise.difference(wanted, answers)
        if problem:
            return problem
    return None


def _cleaned(
    raw: Path,
    target: Path,
    contract: Contract,
    samples: Sequence[Outputs],
    expected: Sequence[Outputs],
) -> tuple[str, ...]:
    try:
        graph.save(normalise.cleaned(graph.load(raw)), target)
        problem = differs(target, contract, samples, expected)
    except Exception as error:  # noqa: BLE001 (the library raises whatever it meets)
        problem = runtime.brief(error)
    if problem is None:
        return ()
    graph.save(graph.load(raw), target)
    return (f"cleaning the exported file was left out: {problem}",)
