"""PP-OCR's classifier of upright and upside-down text: MobileNetV3, its weights as Constants."""

import numpy as np
from benchmarks.models import text_pictures
from examples.models import packages
from examples.models.example import Arrays, Example

_INPUT = "x"
_WIDTH = 192
_DRAWN_WIDTH = 384  # of which the classifier is given the first half
_CALIBRATION = 64
_EVALUATION = 1500


def make() -> Example:
    """The model as published, with drawn lines of text, half of them upside down.

    Input `x` float32 [batch, 3, 48, 192], output float32 [batch, 2]: the probabilities of upright
    and upside down, the label of which is 1.
    """
    file = packages.folder("rapidocr") / "models" / "ch_ppocr_mobile_v2.0_cls_mobile.onnx"
    return Example(
        model=file.read_bytes(),
        calibration={_INPUT: _turned(_CALIBRATION, seed=4)[_INPUT]},
        evaluation=_turned(_EVALUATION, seed=3),
    )


def _turned(count: int, seed: int) -> Arrays:
    pictures, _ = text_pictures.lines(count, _DRAWN_WIDTH, seed)
    pictures = np.ascontiguousarray(pictures[..., :_WIDTH])
    labels = np.random.default_rng(seed).integers(0, 2, count)
    pictures[labels == 1] = pictures[labels == 1][..., ::-1, ::-1]
    return {_INPUT: pictures, "labels": labels}
