"""Four real models with labelled data, from pinned packages: the same on every run."""

from collections.abc import Callable

from examples.models import digits, magika, minilm, tumours
from examples.models.example import Example

MODELS: dict[str, Callable[[], Example]] = {
    "digits": digits.make,
    "magika": magika.make,
    "minilm": minilm.make,
    "tumours": tumours.make,
}
