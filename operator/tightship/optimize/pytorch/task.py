"""The child's work: a torch model as ONNX, compared with torch's own answers; confined."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch

from tightship.optimize import data, runtime
from tightship.optimize.budget import Budget
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.pytorch import agreement, inputs
from tightship.optimize.pytorch.agreement import Agreement
from tightship.optimize.pytorch.archive import Kind
from tightship.optimize.pytorch.inputs import Form
from tightship.optimize.pytorch.model import Model, answers, load, words
from tightship.optimize.runtime import Outputs

MODEL = "model.onnx"
_PACKAGES = ("torch", "onnxscript", "onnxruntime")


def convert_task(payload: Mapping[str, Any]) -> dict[str, Any]:
    """Child's entry: {path, kind, data: {path, what} | None, samples, batch} -> facts.

    Leaves MODEL.

    Raises:
        RefusalError: the file, the data, the export, or answers that differ.
    """
    model = load(Path(payload["path"]), Kind(payload["kind"]))
    given = _given(model, payload)
    tried: list[str] = []
    for form in given.forms:
        with torch.no_grad():
            found = _attempt(model, given, form, payload["batch"])
        if isinstance(found, Agreement) and not found.problem:
            return _told(payload["kind"], given, found, form, tried)
        tried.append(found.problem if isinstance(found, Agreement) else found)
    raise _refused(given, tried)


@dataclass(frozen=True, slots=True)
class _Given:
    """Samples by the inputs' names, in the order of the model's arguments."""

    arrays: dict[str, np.ndarray]
    forms: tuple[Form, ...]
    notes: tuple[str, ...]
    what: str  # the data file that they are from; empty: the model's file


def _given(model: Model, payload: Mapping[str, Any]) -> _Given:
    names = [argument.name for argument in model.arguments]
    if payload["data"] is None:
        if model.examples is None:
            raise RefusalError(
                Reason.UNSUPPORTED_MODEL,
                f"The file does not say of which shapes and types the model's inputs {names} are. "
                "Give calibration or evaluation data, which show it: some samples are enough.",
            )
        note = "compared with torch on the file's own example inputs alone: no data were given"
        return _Given(dict(model.examples), (Form.EXAMPLE,), (note,), "")
    what = payload["data"]["what"]
    read = data.read(Path(payload["data"]["path"]), what, Budget())
    arrays = inputs.assigned(model.arguments, read, what, model.real)
    rows = data.chosen_rows(None, inputs.count(arrays), payload["samples"], None)
    notes = []
    if len(arrays) > 1 and not set(arrays) & set(names):
        pairs = ", ".join(f"{mine} is {name}" for mine, name in zip(names, arrays, strict=False))
        notes.append(f"the data's arrays were taken in their order: {pairs}")
    forms = (Form.BATCH, Form.ONE, Form.WHOLE)
    return _Given({n: a[rows] for n, a in arrays.items()}, forms, tuple(notes), what)


def _attempt(model: Model, given: _Given, form: Form, batch: int) -> Agreement | str:
    """How equal the ONNX model is that this form of inputs gives, or why there is none."""
    ask = _Asked(model, list(given.arrays))
    feed = inputs.example(given.arrays, form)
    try:
        first, again = ask(feed), ask(feed)
    except RefusalError:
        raise
    except Exception as error:  # noqa: BLE001 (torch raises whatever it meets)
        return _FAILS + words(error)
    if agreement.compare(iter([(first, again)])).problem:
        raise RefusalError(
            Reason.UNSUPPORTED_MODEL,
            "The torch model answers the same request otherwise each time, so nothing can be "
            "compared with it. Call model.eval() before it is saved, and take out what is random.",
        )
    if form is Form.BATCH and any(len(a) != 2 if a.ndim else True for a in first.values()):  # noqa: PLR2004
        return "its answers for two samples have no axis of two"
    try:
        Path(MODEL).unlink(missing_ok=True)
        model.write(ask.tensors(feed), ask.names, list(first), Path(MODEL))
        return agreement.compare(_both(ask, list(first), given.arrays, form, batch))
    except Exception as error:  # noqa: BLE001 (torch's and ONNX Runtime's errors have no base)
        return f"torch {torch.__version__} or ONNX Runtime {ort.__version__} fail: {words(error)}"


_FAILS = "torch itself fails: "


class _Asked:
    """The model with arrays for tensors, and names for its answers."""

    def __init__(self, model: Model, names: list[str]) -> None:
        self._model, self.names = model, names

    def tensors(self, feed: inputs.Feed) -> list[torch.Tensor]:
        """Copies: a model may write into its inputs."""
        return [torch.from_numpy(np.array(feed[name])) for name in self.names]

    def __call__(self, feed: inputs.Feed) -> Outputs:
        found = answers(self._model.ask(self.tensors(feed)), self.names)
        return {name: each.detach().cpu().numpy() for name, each in found.items()}


def _both(
    ask: _Asked, outputs: Sequence[str], arrays: inputs.Feed, form: Form, batch: int
) -> Iterator[tuple[Outputs, Outputs]]:
    """Torch's answers and ONNX Runtime's."""
    session = runtime.session(Path(MODEL), 1)
    for feed in inputs.feeds(arrays, form, batch):
        got = session.run(list(outputs), feed)
        yield ask(feed), {n: np.asarray(a) for n, a in zip(outputs, got, strict=True)}


def _told(
    kind: str, given: _Given, found: Agreement, form: Form, tried: list[str]
) -> dict[str, Any]:
    notes = list(given.notes)
    if tried:
        notes.append(f"turned into ONNX with {form} as the example: {tried[0]}")
    return {
        "format": kind,
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "inputs": {name: str(array.dtype) for name, array in given.arrays.items()},
        "rows": "given" if given.what else "examples",
        "agreement": found.to_json(),
        "notes": notes,
    }


def _refused(given: _Given, tried: list[str]) -> RefusalError:
    """Of several tries, the first that came further than torch's own answer."""
    own = [reason.removeprefix(_FAILS) for reason in tried if reason.startswith(_FAILS)]
    further = [reason for reason in tried if not reason.startswith(_FAILS)]
    if not further and given.what:
        shapes = {name: f"{a.dtype} {list(a.shape[1:])}" for name, a in given.arrays.items()}
        return data.invalid(
            given.what,
            f"do not fit the torch model, which fails on samples of {shapes}: {own[0]} The first "
            "axis of each array is the sample, with neither a batch axis more nor less.",
        )
    return RefusalError(
        Reason.UNSUPPORTED_MODEL,
        "The torch model as ONNX does not answer as torch does, so it is not served: "
        f"{(further or own)[0]} {agreement.TOLERANCE:g} of an output's greatest value is allowed. "
        "Export it yourself (torch.onnx.export), or save it by torch.export.save instead of "
        "torch.jit.save, or the other way round.",
    )
