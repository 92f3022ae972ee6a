"""The planner asked: one question, one plan, from nothing or from what runs now."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from tightship.plan.pack import Bound, Plan, pack, replan

if TYPE_CHECKING:
    from tightship.plan.pack import Change, Device
    from tightship.whatif.question import Question


def plan(question: Question) -> Plan:
    """The plan for all models of the question, from nothing."""
    return pack(question.demand(), question.fleet(), kappa=question.kappa)


def change(question: Question) -> Change | None:
    """The next plan and the way to it from what runs; None where nothing is known of that."""
    if question.running is None:
        return None
    return replan(
        _present(question),
        question.demand(),
        question.fleet(),
        budget=question.budget,
        kappa=question.kappa,
    )


def _present(question: Question) -> Plan:
    """What runs as a plan, with the settings that the planner would give: they move nothing."""
    fresh, placed = plan(question), question.present()
    devices = tuple(sorted(set(chain.from_iterable(placed.values()))))
    names = tuple(sorted(placed))
    pairs = [
        (at, devices.index(device)) for at, name in enumerate(names) for device in placed[name]
    ]
    model, device = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    unknown = np.full(len(devices), np.nan)
    return Plan(
        models=names,
        devices=devices,
        model=model,
        device=device,
        rho=unknown,
        second_moment=unknown,
        memory=_memory(question, placed, devices),
        p99=np.full(len(names), np.nan),
        slo=np.full(len(names), np.inf),
        settings={
            name: setting._replace(copies=len(placed[name]))
            for name, setting in fresh.settings.items()
            if placed.get(name)
        },
        waits=(),
        cost=0.0,
        bound=Bound(cost=0.0, devices={}),
    )


def _memory(
    question: Question, placed: dict[str, tuple[Device, ...]], devices: tuple[Device, ...]
) -> np.ndarray:
    """Bytes that are taken on each device; a model that the question has not counts for nothing."""
    sizes = {model.name: model.cost.profile.memory for model in question.models}
    return np.array(
        [sum(sizes.get(name, 0) for name in placed if each in placed[name]) for each in devices],
        dtype=np.float64,
    )
