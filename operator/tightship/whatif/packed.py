"""The planner asked: one question, one plan, from nothing or from what runs now."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from tightship.plan import figures
from tightship.plan.pack import Bound, Plan, Setting, pack, replan
from tightship.plan.pack.choice import largest_batch
from tightship.plan.pack.feasibility import CV_BOUNDS

if TYPE_CHECKING:
    from tightship.plan.pack import Change, Device
    from tightship.whatif.question import Question, Wanted


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
    """What runs as a plan: what is predicted of it is then of the settings that it has."""
    placed = question.present()
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
            model.name: _setting(question, model, len(placed[model.name]))
            for model in question.models
            if placed.get(model.name)
        },
        waits=(),
        cost=0.0,
        bound=Bound(cost=0.0, devices={}),
    )


def _setting(question: Question, model: Wanted, copies: int) -> Setting:
    """The queue delay that the status tells, and the batches that it makes of the requests."""
    served = model.resource.status.get("serving") or {}
    delay = figures.seconds(str(served.get("maxQueueDelay", "")))
    formed = 1.0 + model.traffic.rate / copies * delay
    most = max(1, model.cost.profile.max_batch)
    batch = largest_batch(formed, np.clip(model.traffic.cv, *CV_BOUNDS), most)
    return Setting(question.pool.name, copies, int(batch), delay)


def _memory(
    question: Question, placed: dict[str, tuple[Device, ...]], devices: tuple[Device, ...]
) -> np.ndarray:
    """Bytes that are taken on each device; a model that the question has not counts for nothing."""
    sizes = {model.name: model.cost.profile.memory for model in question.models}
    return np.array(
        [sum(sizes.get(name, 0) for name in placed if each in placed[name]) for each in devices],
        dtype=np.float64,
    )
