"""Pictures of lines of text: words of the packages' documentation, drawn with the DejaVu fonts."""

import re
from functools import cache

import numpy as np
from examples.models import packages
from examples.models.documentation import entries
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

HEIGHT = 48
_SIZE, _MARGIN, _TOP = 30, 6, 5
_INK, _PAPER = 20, 255
_NOISE = 35.0  # standard deviation, of 255
_FONTS = ("DejaVuSans", "DejaVuSerif", "DejaVuSansMono", "DejaVuSans-Bold", "DejaVuSerif-Italic")
_SHORTEST, _LONGEST = 3, 10

Picture = NDArray[np.float32]


@cache
def words() -> tuple[str, ...]:
    """The words of the documentation in alphabetical order."""
    found = {word for entry in entries() for word in re.findall(r"[A-Za-z]+", entry.summary)}
    return tuple(sorted(word for word in found if _SHORTEST <= len(word) <= _LONGEST))


def lines(count: int, width: int, seed: int) -> tuple[Picture, list[str]]:
    """(pictures [count, 3, 48, width] of -1 to 1, texts): two words and a number that fit.

    Written as one, like an identifier, so that no blank has to be told from a wide gap. What is
    left of the width is grey, as PP-OCR fills a batch up.
    """
    rng = np.random.default_rng(seed)
    pictures = np.zeros((count, 3, HEIGHT, width), np.float32)
    texts: list[str] = []
    while len(texts) < count:
        first, second = rng.choice(words(), 2)
        text = f"{first}{second.capitalize()}{rng.integers(100)}"
        drawn = _drawn(text, str(rng.choice(_FONTS)), rng)
        if drawn.shape[1] <= width:
            pictures[len(texts), :, :, : drawn.shape[1]] = drawn.transpose(2, 0, 1)
            texts.append(text)
    return pictures, texts


def _drawn(text: str, font: str, rng: np.random.Generator) -> Picture:
    """[48, width, 3] of -1 to 1, dark on white, with noise."""
    file = packages.folder("matplotlib") / "mpl-data" / "fonts" / "ttf" / f"{font}.ttf"
    face = _face(str(file))
    width = int(face.getlength(text)) + 2 * _MARGIN
    image = Image.new("RGB", (width, HEIGHT), (_PAPER,) * 3)
    ImageDraw.Draw(image).text((_MARGIN, _TOP), text, (_INK,) * 3, font=face)
    noisy = np.asarray(image) + rng.normal(0, _NOISE, (HEIGHT, width, 3))
    return (np.clip(noisy, 0, 255) / 127.5 - 1).astype(np.float32)


@cache
def _face(file: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(file, _SIZE)
