import numpy as np
import onnxruntime as ort
from benchmarks.models.network import Network, folded


def run(model: bytes, value: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {"x": value})[0]
    return found


def test_a_folded_convolution_equals_the_convolution_and_its_normalization() -> None:
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(4, 3, 3, 3)).astype(np.float32)
    norm = {
        "weight": rng.normal(size=4).astype(np.float32),
        "bias": rng.normal(size=4).astype(np.float32),
        "running_mean": rng.normal(size=4).astype(np.float32),
        "running_var": rng.uniform(0.5, 2, 4).astype(np.float32),
    }
    apart = Network()
    value = apart.conv("x", "conv", weights, np.zeros(4, np.float32), pads=[1] * 4)
    parts = [apart.weight(name, array) for name, array in norm.items()]
    apart.node("BatchNormalization", value, *parts, epsilon=1e-3, output="y")
    together = Network()
    made = together.conv("x", "conv", *folded(weights, norm, 1e-3), pads=[1] * 4)
    together.node("Identity", made, output="y")
    pictures = rng.normal(size=(2, 3, 8, 8)).astype(np.float32)
    answers = [
        run(network.finish("n", ("x", (3, 8, 8)), ("y", (4, 8, 8))), pictures)
        for network in (apart, together)
    ]
    np.testing.assert_allclose(answers[0], answers[1], rtol=1e-4, atol=1e-4)


def test_a_dense_layer_takes_its_weights_as_pytorch_keeps_them() -> None:
    network = Network()
    weights = np.array([[1, 2, 3], [4, 5, 6]], np.float32)
    network.dense("x", "dense", weights, np.array([10, 20], np.float32), output="y")
    model = network.finish("n", ("x", (3,)), ("y", (2,)))
    np.testing.assert_array_equal(run(model, np.ones((1, 3), np.float32)), [[16, 35]])
