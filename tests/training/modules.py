"""Small modules of torch, and how they are saved."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

FREE = torch.export.Dim.DYNAMIC
Saved = Callable[[Path], None]


class Module(nn.Module):  # type: ignore[misc] # torch is not there where types are checked
    """What the others are made of."""


class Recurrent(Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        answers, _ = self.lstm(x)
        return answers[:, -1]


class Both(NamedTuple):
    sums: Tensor
    words: Tensor


class Several(Module):
    """Three inputs of three types, one with a default; two outputs with names."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 4)

    def forward(self, x: Tensor, ids: Tensor, mask: Tensor | None = None) -> Both:
        words = self.table(ids)
        if mask is not None:
            words = words * mask.unsqueeze(-1)
        return Both(x + words.sum(1), ids * 2)


class Keyed(Module):
    def forward(self, x: Tensor) -> dict[str, Tensor]:
        return {"scores": x * 2, "class": x.argmax(1)}


class Branching(Module):
    """Another way for another input, and a loop over a length that the input has."""

    def forward(self, x: Tensor) -> Tensor:
        found = torch.zeros_like(x[:, 0])
        for column in range(x.size(1)):
            found = found * 0.5 + x[:, column]
        if bool(found.sum() > 0):
            return found.unsqueeze(1)
        return -found.unsqueeze(1) * 3


class Alone(Module):
    """Takes one sample without a batch axis."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(6))

    def forward(self, x: Tensor) -> Tensor:
        return torch.dot(x, self.weight).reshape(1)


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


def convolution() -> nn.Module:
    layers = (nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3))
    return nn.Sequential(*layers).eval()


def scripted(module: nn.Module) -> Saved:
    return lambda file: torch.jit.save(torch.jit.script(module), str(file))


def traced(module: nn.Module, *example: Tensor) -> Saved:
    return lambda file: torch.jit.save(torch.jit.trace(module, example), str(file))


def program(module: nn.Module, *example: Tensor, shapes: Any = None) -> Saved:  # noqa: ANN401
    """`shapes` as torch.export takes them; every first axis is free unless told."""
    if shapes is None:
        shapes = tuple({0: FREE} for _ in example)

    def save(file: Path) -> None:
        made = torch.export.export(module, example, dynamic_shapes=shapes)
        buffer = io.BytesIO()
        torch.export.save(made, buffer)
        file.write_bytes(buffer.getvalue())

    return save


class Number(Module):
    def forward(self, x: Tensor, times: int) -> Tensor:
        return x * times


class Listed(Module):
    def forward(self, x: Tensor) -> dict[str, float]:
        return {"mean": float(x.mean())}


class Chaotic(Module):
    """Multiplies the rounding of a long sum so much that two runtimes cannot agree."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(512, 4))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin((x @ self.weight) * 1e8)


class Unused(Module):
    def forward(self, x: Tensor, y: Tensor) -> Tensor:  # noqa: ARG002 (what is tested)
        return x * 2


class Foreign(Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigvals(x).real


class Writing(Module):
    def __init__(self, path: str) -> None:
        super().__init__()
        self.path: str = path

    def forward(self, x: Tensor) -> Tensor:
        torch.save(x, self.path)
        return x
