"""The models that are packed: measured curves, and popularity, objectives and memory by a seed.

Curves are measured; everything else is drawn from distributions, since no public table has it:

- each model is one of the measured ones, slower or faster by a lognormal(0, 0.6) factor;
- its rate is Zipf's with exponent 1.05, 30 requests a second on average;
- its objective is 20, 50, 100, 200 or 500 ms (10, 25, 30, 25, 10 %), at least 8 times its latency
  at batch 1;
- the coefficient of variation between its arrivals is 1, 1.5 or 2, a third each;
- its memory is lognormal with a median of 1.6 GiB and sigma 0.9, between 0.3 and 30 GiB.
"""

from dataclasses import dataclass, replace

import numpy as np
from benchmarks.packing.profiles import Floats, Ints, measured

SEEDS = (1, 2, 3)
SIZES = (100, 1_000, 5_000, 10_000)

DEVICE_MEMORY = 80 * 0.92
"""GiB of an A100 80 GB that models may use: 8 % are kept for contexts and fragmentation."""

_ZIPF = 1.05
_MEAN_RATE = 30.0
_SPEED_SIGMA = 0.6
_OBJECTIVES = ((0.02, 0.10), (0.05, 0.25), (0.1, 0.30), (0.2, 0.25), (0.5, 0.10))
_OBJECTIVE_LATENCIES = 8.0
_VARIATIONS = (1.0, 1.5, 2.0)
_MEMORY_MEDIAN, _MEMORY_SIGMA, _MEMORY_LEAST, _MEMORY_MOST = 1.6, 0.9, 0.3, 30.0


@dataclass(frozen=True, slots=True)
class Workload:
    """Models as arrays, one row each.

    `seconds[m, b - 1]` is the latency of a batch of b, infinite beyond `max_batch[m]`; `rate` is in
    requests a second, `slo` the objective for the 99th percentile in seconds, `memory` in GiB.
    """

    seconds: Floats
    max_batch: Ints
    rate: Floats
    cv: Floats
    slo: Floats
    memory: Floats

    def __len__(self) -> int:
        return len(self.rate)

    def loaded(self, factor: Floats | float) -> "Workload":
        """The same models at other rates."""
        return replace(self, rate=self.rate * factor)

    def loosened(self, factor: float) -> "Workload":
        """The same models with objectives so many times as long."""
        return replace(self, slo=self.slo * factor)


def workload(models: int, seed: int) -> Workload:
    """So many models; the same seed gives the same ones."""
    draw = np.random.default_rng(seed)
    known = measured()
    which = draw.integers(len(known), size=models)
    speed = draw.lognormal(0.0, _SPEED_SIGMA, models)
    seconds = np.stack([one.seconds for one in known])[which] * speed[:, None]
    objectives, shares = zip(*_OBJECTIVES, strict=True)
    asked = draw.choice(objectives, models, p=shares)
    popularity = np.arange(1, models + 1) ** -_ZIPF
    draw.shuffle(popularity)
    size = draw.lognormal(np.log(_MEMORY_MEDIAN), _MEMORY_SIGMA, models)
    return Workload(
        seconds=seconds,
        max_batch=np.array([one.max_batch for one in known])[which],
        rate=popularity / popularity.sum() * models * _MEAN_RATE,
        cv=draw.choice(_VARIATIONS, models),
        slo=np.maximum(asked, _OBJECTIVE_LATENCIES * seconds[:, 0]),
        memory=np.clip(size, _MEMORY_LEAST, _MEMORY_MOST),
    )
