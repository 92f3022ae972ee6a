"""Four real models with labelled data, from pinned packages: the same on every run.

Each module has a function `make` that returns an Example, and needs packages of its own.
"""

from importlib import import_module

from examples.models.example import Example

MODELS = ("digits", "magika", "minilm", "tumours")


def make(name: str) -> Example:
    """The example of that name."""
    example: Example = import_module(f"{__name__}.{name}").make()
    return example
