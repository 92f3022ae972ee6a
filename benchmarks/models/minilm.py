"""MiniLM as in the examples, with as many questions as a gate of one point takes."""

from examples.models import minilm
from examples.models.example import Example

_QUESTIONS = 800


def make() -> Example:
    """See `examples.models.minilm`."""
    return minilm.make(_QUESTIONS)
