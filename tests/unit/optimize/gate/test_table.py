"""docs/gates.md says how many samples a gate needs, as the gate computes it.

`python -m tests.unit.optimize.gate.test_table` writes the tables anew.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
from tests.support.cache import REPOSITORY

from tightship.optimize.gate import tango
from tightship.optimize.gate.needs import needs, samples_needed
from tightship.optimize.gate.verdict import Demands
from tightship.optimize.metrics import registry, text
from tightship.optimize.metrics.base import Judged, Truth

PAGE = REPOSITORY / "docs" / "gates.md"
_BEGIN, _END = "<!-- samples: begin -->\n", "<!-- samples: end -->\n"
_DROPS = (0.05, 0.02, 0.01, 0.005, 0.001)
_CONFIDENCES = (0.9, 0.95, 0.99)
_CHANGED = (0.005, 0.01, 0.02, 0.04)


def _row(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |\n"


def _table(head: Sequence[str], rows: Iterator[Sequence[object]]) -> str:
    return _row(head) + "|---" * len(head) + "|\n" + "".join(_row(row) for row in rows)


def _at_best() -> Iterator[Sequence[object]]:
    for drop in _DROPS:
        yield drop, *(samples_needed(drop, confidence) for confidence in _CONFIDENCES)


def _with_changes() -> Iterator[Sequence[object]]:
    for drop in _DROPS:
        yield drop, *(_least(drop, share) or "never" for share in _CHANGED)


def _least(drop: float, changed: float) -> int | None:
    """Samples whose expected counts pass when so many are lost, and half as many won."""
    if changed / 2 >= drop:
        return None
    n = 10
    while tango.upper(math.ceil(changed * n), math.floor(changed * n / 2), n, 0.95) > drop:
        n = math.ceil(n * 1.02)
    return int(float(f"{n:.2g}"))


def _two_classes(rare: float) -> np.ndarray:
    return (np.arange(10_000) < rare * 10_000).astype(np.int64)


def _cases() -> Iterator[tuple[str, str, Judged]]:
    for rare in (0.5, 0.1, 0.01):
        labels = _two_classes(rare)
        truth, shown = Truth(labels=labels), f"two classes, the rarer {rare:.0%} of the samples"
        yield "f1", shown, registry.judge("f1", truth, {}, {"y": labels})
        scores = labels[:, np.newaxis].astype(np.float32)
        yield "auc", shown, registry.judge("auc", truth, {}, {"y": scores})
    lengths = np.random.default_rng(0).integers(3, 40, 10_000).astype(float)
    yield "cer", "references of 3 to 39 characters", text.rate(0 * lengths, lengths)
    spread = np.random.default_rng(0).standard_normal((10_000, 1))
    for metric in ("mae", "rmse"):
        for error in (0.1, 0.5):
            shown = f"normal labels of deviation 1, errors of deviation {error:g}"
            answers = spread + error * np.random.default_rng(1).standard_normal(spread.shape)
            truth = Truth(labels=spread)
            yield metric, shown, registry.judge(metric, truth, {}, {"y": answers})


def _estimated() -> Iterator[Sequence[object]]:
    for metric, shown, judged in _cases():
        found = [
            needs(registry.traits(metric), judged, Demands(max_drop=drop, confidence=0.95)).samples
            for drop in _DROPS[:4]
        ]
        yield f"`{metric}`", shown, *(int(float(f"{n:.2g}")) if n else "never" for n in found)


_BEST = """Least number of samples for `accuracy`, `agreement`, `mrr` and `cosine`, when not one of
them changes:

"""
_LOST = """
For `accuracy` at 95 %, when a share of the samples is lost and half as many are won, so that the
true drop is half of the share (two digits):

"""
_OTHERS = """
At best and at 95 %, for metrics where it depends on the data (two digits):

"""


def tables() -> str:
    """The part of the page between the marks."""
    drops = [f"maxDrop {drop}" for drop in _DROPS[:4]]
    return "".join(
        [
            _BEST,
            _table(["maxDrop", *(f"{c:.0%} confidence" for c in _CONFIDENCES)], _at_best()),
            _LOST,
            _table(["maxDrop", *(f"{c:.1%} lost" for c in _CHANGED)], _with_changes()),
            _OTHERS,
            _table(["metric", "data", *drops], _estimated()),
        ]
    )


def _rendered(page: str) -> str:
    before, _, rest = page.partition(_BEGIN)
    return before + _BEGIN + tables() + _END + rest.partition(_END)[2]


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text()
    assert _BEGIN in page
    assert _rendered(page) == page


if __name__ == "__main__":
    PAGE.write_text(_rendered(PAGE.read_text()))
