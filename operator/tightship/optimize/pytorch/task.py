"""The child's work: a torch model as ONNX, compared with torch's own answers; confined."""

from collections.abc import Mapping
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
from tightship.optimize.pytorch.model import Model, Names, answers, load, words
from tightship.optimize.runtime import Outputs, Session

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
    tried: list[_Failure] = []
    for form in given.forms:
        with torch.no_grad():
            found = _attempt(_Asked(model, list(given.arrays)), given, form, payload["batch"])
        if isinstance(found, Agreement):
            return _told(payload["kind"], given, found, form, tried, shaped=model.shaped)
        tried.append(found)
        if model.shaped and not found.own:
            break  # another example would give the same file
    raise _refused(given, tried)


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a form of inputs leads to no model; `own`: torch itself does not take it."""

    words: str
    own: bool = False


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


@dataclass(frozen=True, slots=True)
class _Call:
    """Inputs and torch's answers. `where` says in words how they are not like the samples."""

    where: str
    feed: inputs.Feed
    answers: Outputs


def _attempt(ask: "_Asked", given: _Given, form: Form, batch: int) -> Agreement | _Failure:
    """How equal the ONNX model is that this form of inputs gives, or why there is none."""
    feed = inputs.example(given.arrays, form)
    try:
        first, again = ask(feed), ask(feed)
        calls = _calls(ask, given.arrays, form, batch)
    except RefusalError:
        raise
    except Exception as error:  # noqa: BLE001 (torch raises whatever it meets)
        return _Failure(words(error), own=True)
    if agreement.compare([("", first, again)]).problem:
        raise _random()
    rows = {len(answer) if answer.ndim else 0 for answer in first.values()}
    if form is Form.BATCH and rows != {len(next(iter(feed.values())))}:
        return _Failure("its answers for two samples are not one row for each", own=True)
    try:
        Path(MODEL).unlink(missing_ok=True)
        ask.write(feed, list(first), free=form is Form.BATCH)
    except Exception as error:  # noqa: BLE001 (likewise)
        return _Failure(f"torch {torch.__version__} cannot turn it into ONNX: {words(error)}")
    try:
        return _compared(list(first), calls)
    except Exception as error:  # noqa: BLE001 (ONNX Runtime's errors have no base)
        return _Failure(f"ONNX Runtime {ort.__version__} fails on what torch made: {words(error)}")


def _random() -> RefusalError:
    return RefusalError(
        Reason.UNSUPPORTED_MODEL,
        "The torch model answers the same request otherwise each time, so nothing can be compared "
        "with it. Call model.eval() before it is saved, and take out what is random or remembers "
        "earlier requests.",
    )


def _calls(ask: "_Asked", arrays: inputs.Feed, form: Form, batch: int) -> list[_Call]:
    """All samples; then sizes that an export may lose in silence, where torch takes them."""
    sizes = [size for size in (batch, 2) if ask.takes(inputs.first(arrays, form, size))]
    feeds = list(inputs.feeds(arrays, form, sizes[0] if sizes else 1))
    others = inputs.others(feeds[0], form, ask.arguments)
    return [
        *(_Call("", feed, ask(feed)) for feed in feeds),
        *(_Call(where, feed, ask(feed)) for where, feed in others if ask.takes(feed)),
    ]


class _Asked:
    """The model with arrays for tensors, and names for its answers."""

    def __init__(self, model: Model, names: list[str]) -> None:
        self._model, self._names = model, names
        self.arguments = model.arguments

    def _tensors(self, feed: inputs.Feed) -> list[torch.Tensor]:
        """Copies: a model may write into its inputs."""
        return [torch.from_numpy(np.array(feed[name])) for name in self._names]

    def __call__(self, feed: inputs.Feed) -> Outputs:
        found = answers(self._model.ask(self._tensors(feed)), self._names)
        return {name: each.detach().cpu().numpy() for name, each in found.items()}

    def takes(self, feed: inputs.Feed) -> bool:
        """Whether torch answers at all."""
        try:
            self(feed)
        except Exception:  # noqa: BLE001 (torch raises whatever it meets)
            return False
        return True

    def write(self, feed: inputs.Feed, outputs: list[str], *, free: bool) -> None:
        """The model as ONNX in MODEL, with this example."""
        names = Names(tuple(self._names), tuple(outputs))
        self._model.write(self._tensors(feed), names, Path(MODEL), free=free)


def _compared(outputs: list[str], calls: list[_Call]) -> Agreement | _Failure:
    """ONNX Runtime's answers to the same calls beside torch's."""
    session = runtime.session(Path(MODEL), 1)
    unused = set(calls[0].feed) - {given.name for given in session.get_inputs()}
    if unused:
        return _Failure(f"nothing in it uses {sorted(unused)}: take that out of forward.")
    found = agreement.compare(
        (call.where, call.answers, _answered(session, outputs, call.feed)) for call in calls
    )
    if not found.problem:
        return found
    return _Failure(
        f"as ONNX it does not answer as torch does: {found.problem}; {agreement.TOLERANCE:g} of an "
        "output's greatest value is allowed."
    )


def _answered(session: Session, outputs: list[str], feed: inputs.Feed) -> Outputs:
    found = session.run(outputs, dict(feed))
    return {name: np.asarray(a) for name, a in zip(outputs, found, strict=True)}


def _told(
    kind: str, given: _Given, found: Agreement, form: Form, tried: list[_Failure], *, shaped: bool
) -> dict[str, Any]:
    notes = list(given.notes)
    if tried and not shaped:
        notes.append(f"turned into ONNX with {form} as the example: {tried[0].words}")
    return {
        "format": kind,
        "versions": {name: metadata.version(name) for name in _PACKAGES},
        "inputs": {name: str(array.dtype) for name, array in given.arrays.items()},
        "rows": "given" if given.what else "examples",
        "agreement": found.to_json(),
        "notes": notes,
    }


def _refused(given: _Given, tried: list[_Failure]) -> RefusalError:
    """By the first failure that came further than torch's own answer; else torch's own."""
    further = [failure.words for failure in tried if not failure.own]
    if not further and given.what:
        shapes = {name: f"{a.dtype} {list(a.shape[1:])}" for name, a in given.arrays.items()}
        return data.invalid(
            given.what,
            f"do not fit the torch model, which fails on samples of {shapes}: {tried[0].words} "
            "The first axis of each array is the sample.",
        )
    return RefusalError(
        Reason.UNSUPPORTED_MODEL,
        f"The torch model is not served: {(further or [tried[0].words])[0]} Export it yourself "
        "(torch.onnx.export), or try the other kind of file: torch.export.save instead of "
        "torch.jit.save, or the other way round.",
    )
