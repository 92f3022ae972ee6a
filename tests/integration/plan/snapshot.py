"""Prints a digest of a full plan and of its change, by numpy and `tightship.plan.pack` alone."""

from hashlib import sha256

import numpy as np

from tightship.plan.pack import DeviceType, Fleet, Model, pack, profile, replan

_GIB = 2**30


def _models(factor: float) -> list[Model]:
    draw = np.random.default_rng(7)
    found = []
    for at in range(300):
        batches = [1, 2, 4, 8, 16]
        start, step = draw.uniform(1e-3, 8e-3), draw.uniform(1e-4, 2e-3)
        curve = profile(
            batches,
            [1] * 5,
            [start + step * batch for batch in batches],
            memory=int(draw.uniform(0.3, 6) * _GIB),
            max_batch=16,
        )
        found.append(
            Model(
                name=f"m{at:03}",
                profiles={"gpu": curve},
                rate=float(draw.uniform(1, 60) * factor),
                slo=float(draw.choice([0.05, 0.2, np.inf])),
                min_copies=int(draw.integers(1, 3)),
                priority=int(draw.integers(1, 4)),
            )
        )
    return found


fleet = Fleet(types=(DeviceType(name="gpu", memory=40 * _GIB, count=60),))
plan = pack(_models(1.0), fleet)
change = replan(plan, _models(1.3), fleet)
told = [
    (one.placement, one.settings, [round(float(rho), 9) for rho in one.rho])
    for one in (plan, change.plan)
]
print(len(plan.devices), len(change.moves), sha256(repr((told, change.moves)).encode()).hexdigest())  # noqa: T201
