"""A fitted scikit-learn estimator as ONNX, by skl2onnx; runs in a confined child."""

import copy
from typing import Any

import onnx
from skl2onnx import convert_sklearn
from skl2onnx._supported_operators import sklearn_operator_name_map
from skl2onnx.common._registration import get_converter
from skl2onnx.common.data_types import (
    DoubleTensorType,
    FloatTensorType,
    Int64TensorType,
    StringTensorType,
)
from sklearn.base import BaseEstimator, is_classifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.pipeline import Pipeline

from tightship.optimize import graph
from tightship.optimize.contract import STRING
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.tabular import trees
from tightship.optimize.tabular.inputs import Layout
from tightship.optimize.tabular.predict import Predictor

_OPSETS = {"": 17, "ai.onnx.ml": 3}  # ml 3: trees with thresholds of double precision
_TYPES = {
    "float32": FloatTensorType,
    "float64": DoubleTensorType,
    "int64": Int64TensorType,
    STRING: StringTensorType,
}
_USUAL_PATTERN = r"(?u)\b\w\w+\b"
_IN_RE2 = r"[\p{L}\p{N}_][\p{L}\p{N}_]+"  # the same words; RE2's \w is ASCII alone
_WORDS = 400


def export(predictor: Predictor, layout: Layout, *, lower: bool) -> onnx.ModelProto:
    """The model, its inputs called as the columns and its outputs as `Predictor.names`.

    `lower` as in `trees.lower_thresholds`; otherwise thresholds become the nearest float32.

    Raises:
        RefusalError: skl2onnx cannot do it.
    """
    estimator = copy.deepcopy(predictor.estimator)
    if lower:
        trees.lower_thresholds(estimator)
    types = [(c.name, _TYPES[c.dtype]([None, c.width])) for c in layout.columns]
    try:
        model: onnx.ModelProto = convert_sklearn(
            estimator,
            initial_types=types,
            options=_options(estimator, scores=predictor.scores),
            target_opset=_OPSETS,
        )
    except Exception as error:
        words = " ".join(f"{type(error).__name__}: {error}".split())[:_WORDS]
        raise RefusalError(
            Reason.UNSUPPORTED_MODEL,
            f"skl2onnx cannot turn this {type(estimator).__name__} into ONNX: {words} Use parts "
            "that it knows (sklearn-onnx's list of supported models), or export the model "
            "yourself and give ONNX.",
        ) from error
    for column, given in zip(layout.columns, model.graph.input, strict=True):
        _replace(model.graph, given.name, column.name)  # skl2onnx takes away blanks and signs
        given.name = column.name
    _rename(model, predictor.names)
    return model


def _options(estimator: object, *, scores: bool) -> dict[int, dict[str, Any]]:
    """Tensors instead of maps, raw scores where there are no probabilities, words as Python's."""
    found = {}
    for part in trees.parts(estimator):
        if not isinstance(part, BaseEstimator):
            continue
        allowed = _allowed(part) if is_classifier(part) and not isinstance(part, Pipeline) else ()
        wanted = {"zipmap": False, "raw_scores": True} if scores else {"zipmap": False}
        chosen = {name: value for name, value in wanted.items() if name in allowed}
        if isinstance(part, CountVectorizer):
            chosen |= _of_text(part)
        if chosen:
            found[id(part)] = chosen
    return found


def _allowed(part: BaseEstimator) -> set[str]:
    alias = sklearn_operator_name_map.get(type(part))
    return set(get_converter(alias).get_allowed_options() or ()) if alias else set()


def _of_text(part: CountVectorizer) -> dict[str, Any]:
    """The locale "C" knows ASCII's capitals alone and is on every server, "C.UTF-8" on Linux'."""
    plain = all(str(word).isascii() for word in part.vocabulary_)
    chosen: dict[str, Any] = {"locale": "C" if plain else "C.UTF-8"}
    if part.analyzer == "word" and part.token_pattern == _USUAL_PATTERN:
        chosen["tokenexp"] = _IN_RE2
    return chosen


def _rename(model: onnx.ModelProto, names: tuple[str, ...]) -> None:
    """Call the outputs by these names.

    Raises:
        RefusalError: the model has others, as where one row has several answers.
    """
    found = [value.name for value in model.graph.output]
    tensors = all(value.type.HasField("tensor_type") for value in model.graph.output)
    if len(found) != len(names) or not tensors:
        raise RefusalError(
            Reason.UNSUPPORTED_MODEL,
            f"The model's answers {found} are not of the kind {list(names)}, one for each row. "
            "A model with several answers for a row has to be exported by yourself.",
        )
    taken = {given.name for given in model.graph.input}
    for old, new in zip(found, names, strict=True):
        if old == new:
            continue
        if new in taken:
            raise RefusalError(
                Reason.UNSUPPORTED_MODEL,
                f"A column of the model is called '{new}', as its answer is. Rename it.",
            )
        _replace(model.graph, new, f"{new}_")
        _replace(model.graph, old, new)


def _replace(graph_: onnx.GraphProto, old: str, new: str) -> None:
    for inner in graph.graphs(graph_):
        for node in inner.node:
            node.input[:] = [new if name == old else name for name in node.input]
            node.output[:] = [new if name == old else name for name in node.output]
        for value in (*inner.output, *inner.value_info):
            if value.name == old:
                value.name = new
        for tensor in inner.initializer:
            if tensor.name == old:
                tensor.name = new
