"""PP-OCRv4's recogniser of text, as rapidocr-onnxruntime ships it."""

import numpy as np
import onnx
from benchmarks.models import text_pictures
from examples.models import packages
from examples.models.example import Example

_INPUT = "x"
_WIDTH = 192
_CALIBRATION = 48
_EVALUATION = 500


def make() -> Example:
    """The model as published, with drawn lines of text.

    Input `x` float32 [batch, 3, 48, width], output float32 [batch, width / 8, 6625]: for each step
    the probability of each character, the first of which is the blank. `charset` is the list in
    the file's metadata, and the space.
    """
    file = packages.folder("rapidocr_onnxruntime") / "models" / "ch_PP-OCRv4_rec_infer.onnx"
    model = file.read_bytes()
    metadata = {entry.key: entry.value for entry in onnx.load_from_string(model).metadata_props}
    charset = ["", *metadata["character"].split("\n"), " "]
    pictures, texts = text_pictures.lines(_EVALUATION, _WIDTH, seed=1)
    return Example(
        model=model,
        calibration={_INPUT: text_pictures.lines(_CALIBRATION, _WIDTH, seed=2)[0]},
        evaluation={_INPUT: pictures, "labels": np.array(texts), "charset": np.array(charset)},
    )
