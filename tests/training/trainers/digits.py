"""A trainer of a small convolutional network for handwritten digits of 8 x 8 pixels."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from safetensors.torch import load_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import TensorDataset

WEIGHTS = Path(__file__).with_name("weights.safetensors")
TRAINED, VALIDATED = 1000, 1300  # the rest is for evaluation


class Block(nn.Module):  # type: ignore[misc] # torch is not there where types are checked
    """Two convolutions and a way around them."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.around = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = torch.relu(self.norm(self.first(x)))
        return torch.relu(self.second(inner) + self.around(x))


def network(first: int, second: int) -> nn.Module:
    return nn.Sequential(
        Block(1, first),
        nn.MaxPool2d(2),
        Block(first, second),
        Block(second, second),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(second, 10),
    )


def pixels() -> tuple[Tensor, Tensor]:
    images, labels = load_digits(return_X_y=True)
    scaled = torch.tensor(images, dtype=torch.float32).reshape(-1, 1, 8, 8) / 16
    return scaled, torch.tensor(labels, dtype=torch.int64)


def part(start: int, end: int | None) -> TensorDataset:
    return TensorDataset(*(tensor[start:end] for tensor in pixels()))


class Digits:
    """The trainer."""

    def build(self) -> nn.Module:
        model = network(32, 64)
        if WEIGHTS.exists():
            model.load_state_dict(load_file(WEIGHTS))
        return model

    def train_data(self) -> TensorDataset:
        return part(0, TRAINED)

    def validation_data(self) -> TensorDataset:
        return part(TRAINED, VALIDATED)

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        return nn.functional.cross_entropy(outputs, target)

    def students(self) -> Mapping[str, Callable[[], nn.Module]]:
        return {"tiny": lambda: network(8, 16)}

    def blocks(self) -> Mapping[str, Mapping[str, Callable[[nn.Module], nn.Module]]]:
        return {"plain": {"3": lambda old: nn.Conv2d(old.first.in_channels, 64, 1)}}
