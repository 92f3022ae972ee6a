"""Handwritten digits: a scikit-learn perceptron turned into ONNX."""

import numpy as np
from examples.models.example import Example
from onnx.utils import Extractor
from skl2onnx import to_onnx
from sklearn.datasets import load_digits
from sklearn.neural_network import MLPClassifier

_INPUT = "pixels"
_OUTPUT = "probabilities"
_TRAINING = 1000
_CALIBRATION = 128


def make() -> Example:
    """Trains on 1,000 images of 8 x 8 pixels; the other 797 are the evaluation set.

    Input `pixels` float32 [batch, 64] in 0..1, output `probabilities` float32 [batch, 10].
    """
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(images))
    pixels = (images[order] / 16).astype(np.float32)
    labels = labels[order].astype(np.int64)
    network = MLPClassifier(hidden_layer_sizes=(128,), max_iter=60, tol=0, random_state=0)
    network.set_params(n_iter_no_change=60)
    network.fit(pixels[:_TRAINING], labels[:_TRAINING])
    return Example(
        model=_onnx(network, pixels[:1]),
        calibration={_INPUT: pixels[:_CALIBRATION]},
        evaluation={_INPUT: pixels[_TRAINING:], "labels": labels[_TRAINING:]},
    )


def _onnx(network: MLPClassifier, sample: np.ndarray) -> bytes:
    """The network as ONNX, without scikit-learn's second output, the class as an integer."""
    converted = to_onnx(
        network,
        sample,
        name="digits",
        options={"zipmap": False},
        target_opset=17,
        initial_types=None,
    )
    given = converted.graph.input[0].name
    extracted = Extractor(converted).extract_model([given], [_OUTPUT])
    for node in extracted.graph.node:
        node.input[:] = [_INPUT if name == given else name for name in node.input]
    extracted.graph.input[0].name = _INPUT
    return bytes(extracted.SerializeToString(deterministic=True))
