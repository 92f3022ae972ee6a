"""Golden samples: what a proven model answered, and how near later answers have to be."""

from collections.abc import Sequence

import numpy as np

from tightship.optimize.data import Dataset
from tightship.optimize.runtime import Outputs
from tightship.optimize.texts import decoded, encoded

_RANDOM_SHARE = 100.0  # of the greatest answer may random answers differ


def golden(samples: Dataset, answers: Sequence[Outputs]) -> dict[str, np.ndarray]:
    """Arrays of golden.npz from several rounds of the same answers; the first round is kept."""
    inputs = {f"in/{name}": encoded(array) for name, array in samples.arrays.items()}
    return inputs | {f"out/{name}": encoded(decoded(array)) for name, array in answers[0].items()}


def tolerance(answers: Sequence[Outputs], *, random: bool = False) -> tuple[float, float]:
    """(rtol, atol): twice the greatest difference between rounds of equal requests, with a floor.

    The floor of 2 % of the greatest answer lets an int8 model differ by a quantum on another
    processor. Of answers that are random only the magnitude is held.
    """
    first = answers[0]
    widest = 0.0
    for name, values in first.items():
        if values.dtype.kind not in ("fiu" if random else "f"):
            continue
        finite = values[np.isfinite(values)]
        scale = float(np.abs(finite).max(initial=0.0))
        gaps = [
            float(np.nanmax(np.abs(other[name] - values), initial=0.0)) for other in answers[1:]
        ]
        share = _RANDOM_SHARE if random else 0.02
        widest = max(widest, share * scale, 2 * max(gaps, default=0.0))
    return 1e-3, max(1e-4, widest)
