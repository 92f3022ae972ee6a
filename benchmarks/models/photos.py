"""Photographs that scikit-image and scikit-learn ship, and varied crops of them."""

from collections.abc import Sequence

import numpy as np
from examples.models import packages
from numpy.typing import NDArray
from PIL import Image, ImageEnhance

Pictures = NDArray[np.uint8]

SIDE = 224
_LEAST_SHARE = 0.5
_TURN = 10.0  # degrees either way
_STRENGTH = 0.25  # of brightness, contrast and colour either way
_NOISE = 4.0  # greatest standard deviation, of 255

CAT = "skimage/data/chelsea.png"
COFFEE = "skimage/data/coffee.png"
MOTORCYCLE = "skimage/data/motorcycle_left.png"
SAME_MOTORCYCLE = "skimage/data/motorcycle_right.png"
ROCKET = "skimage/data/rocket.jpg"
CAMERAMAN = "skimage/data/camera.png"
SUMMER_PALACE = "sklearn/datasets/images/china.jpg"

OTHERS = (
    "skimage/data/astronaut.png", "sklearn/datasets/images/flower.jpg",
    "skimage/data/clock_motion.png", "skimage/data/coins.png", "skimage/data/color.png",
    "skimage/data/retina.jpg", "skimage/data/hubble_deep_field.jpg", "skimage/data/ihc.png",
    "skimage/data/brick.png", "skimage/data/grass.png", "skimage/data/page.png",
)  # fmt: skip


def photo(path: str) -> Image.Image:
    """A photograph by its path below the installed packages."""
    package, _, rest = path.partition("/")
    with Image.open(packages.folder(package) / rest) as image:
        return image.convert("RGB")


def crop(image: Image.Image, rng: np.random.Generator) -> Pictures:
    """A square part of at least half the shorter side: turned, mirrored, relit, with noise."""
    side = int(min(image.size) * rng.uniform(_LEAST_SHARE, 1.0))
    left, top = (int(rng.integers(0, size - side + 1)) for size in image.size)
    part = image.rotate(rng.uniform(-_TURN, _TURN), Image.Resampling.BILINEAR)
    part = part.crop((left, top, left + side, top + side)).resize((SIDE, SIDE))
    if rng.random() < 0.5:  # noqa: PLR2004 (as often as not)
        part = part.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    for change in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        part = change(part).enhance(rng.uniform(1 - _STRENGTH, 1 + _STRENGTH))
    noise = rng.normal(0, rng.uniform(0, _NOISE), (SIDE, SIDE, 3))
    return np.clip(np.asarray(part) + noise, 0, 255).astype(np.uint8)


def crops(paths: Sequence[str], count: int, seed: int) -> Pictures:
    """`count` crops [count, side, side, 3]; the photographs take turns."""
    rng = np.random.default_rng(seed)
    images = [photo(path) for path in paths]
    return np.stack([crop(images[number % len(images)], rng) for number in range(count)])
