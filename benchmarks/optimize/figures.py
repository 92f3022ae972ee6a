"""What comparisons say in figures: each model's own, and the sums over all of them."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from benchmarks.models import MODELS
from benchmarks.optimize import candidates
from benchmarks.optimize.rows import COLUMNS
from benchmarks.record import Bench

if TYPE_CHECKING:
    from benchmarks.optimize.compare import Comparison

_TWICE = 2.0


def add_model(bench: Bench, found: "Comparison") -> None:
    """One model's figures, the table of this benchmark and that of the conversion's report."""
    name, chosen, verdict = found.name, found.chosen, found.chosen.verdict
    alone = {batch: f"{speed.seconds * 1e3:.2f} ms" for batch, speed in found.speeds.items()}
    for batch in found.speeds:
        note = f"{found.optimized.variant}, original {alone[batch]}, one thread"
        noise = f"noise {found.speeds[batch].noise:.0%}"
        if batch in chosen.bare:
            told = f"speed-up, batch {batch}, {name}"
            bench.add(told, round(chosen.bare[batch], 3), "x", spread=noise, note=note)
        if batch in chosen.served:
            told = f"speed-up through Triton, batch {batch}, {name}"
            bench.add(told, round(chosen.served[batch], 3), "x")
    if verdict is not None:
        metric = MODELS[name].metric.value
        spread = f"loss {verdict.lower:+.4f} to {verdict.upper:+.4f}"
        note = f"original {verdict.before:.4f}, {verdict.n} samples"
        bench.add(f"{metric}, {name}", round(verdict.after, 4), "", spread=spread, note=note)
    bench.add(f"size, {name}", round(chosen.bytes / found.original.bytes, 3), "of before")
    bench.add(f"candidates, {name}", found.optimized.candidates, "")
    bench.add(f"wall time, {name}", round(found.optimized.seconds, 1), "s")
    title = f"{name}: {MODELS[name].title}"
    rows = [found.original, found.chosen, *found.rows]
    bench.add_table(title, COLUMNS, [row.cells() for row in rows])
    title = f"{name}: the best candidate of each technique, as the conversion's report has it"
    bench.add_table(title, candidates.COLUMNS, candidates.table(found.optimized.report))


def add_summary(bench: Bench, all_found: Sequence["Comparison"], failed: Mapping[str, str]) -> None:
    """The figures over all models; `failed` has those without a result, and why."""
    reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items())
    bench.add("models that failed", len(failed), "", note=reasons)
    bare = [found.chosen.bare.get(1, 0.0) for found in all_found]
    through = [found.chosen.served.get(1, 0.0) for found in all_found]
    count = f"of {len(all_found)}"
    bench.add("geometric mean speed-up", round(mean(bare), 3), "x", note="batch 1, runtime alone")
    bench.add("geometric mean speed-up, through Triton", round(mean(through), 3), "x")
    bench.add("models at 2x", sum(x >= _TWICE for x in bare), "", note=f"{count}, batch 1")
    bench.add("models at 2x, through Triton", sum(x >= _TWICE for x in through), "", note=count)
    inside = sum(found.chosen.inside for found in all_found)
    bench.add("models inside gate", inside, "", note=count)
    slower = [found.name for found in all_found if is_slower(found)]
    bench.add("models slower than original", len(slower), "", note=", ".join(slower) or count)
    for place, row in enumerate(all_found[0].rows if all_found else ()):
        mine = [found.rows[place] for found in all_found]
        bench.add(
            f"by hand, {row.name}, inside gate and faster",
            sum(row.inside and row.bare.get(1, 0.0) > 1 for row in mine), "", note=count,
        )  # fmt: skip


def is_slower(found: "Comparison") -> bool:
    """Whether what was chosen is slower than the original at batch 1, beyond the noise.

    By the runtime alone or through Triton; not to have run counts as slower.
    """
    speeds = (found.chosen.bare.get(1, 0.0), found.chosen.served.get(1, 0.0))
    return min(speeds) < 1 - found.noise


def mean(ratios: Sequence[float]) -> float:
    """The geometric mean; 0 when one of them is."""
    if not ratios or min(ratios) <= 0:
        return 0.0
    return math.exp(sum(math.log(ratio) for ratio in ratios) / len(ratios))
