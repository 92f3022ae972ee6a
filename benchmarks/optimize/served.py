"""The original against what was chosen through a real Triton, one client, bursts in turn."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from statistics import median

import numpy as np
from benchmarks.optimize.measure import BATCHES
from benchmarks.optimize.product import Optimized
from tests.support.triton import Triton

from tightship.api.agent import ServingConfig
from tightship.optimize import serving
from tightship.triton import config_pbtxt
from tightship.triton.client import TritonClient, prepared
from tightship.triton.direct import burst, message
from tightship.triton.repository import Repository

_ORIGINAL, _CHOSEN = "bench-original", "bench-chosen"
_BURSTS = 8  # of the chosen one; one more of the original
_BURST_SECONDS = 0.3
_LEAST = 5
_WARM_UP = 20
_DEADLINE = 120.0


async def speeds(triton: Triton, model: Path, found: Optimized, samples: Path) -> dict[int, float]:
    """How many times as fast the chosen variant is, at each batch that the model takes."""
    with np.load(samples) as file:
        arrays = dict(file)
    original = serving.completed(found.contract, None, threads=1).text
    repository = Repository(triton.repository)
    served = {
        _ORIGINAL: (_alone(model, found), original),
        _CHOSEN: (found.artifact / "model" / "1", found.config),
    }
    async with TritonClient(triton.http) as client:
        for name, (files, config) in served.items():
            text = config_pbtxt.effective_config(
                config, name, ServingConfig(dynamic_batching=False)
            )
            repository.publish(name, "1", files=files, config=text)
            await client.load(name)
        ratios = {}
        for batch in BATCHES:
            if batch == 1 or batch <= found.contract.max_batch:
                ratios[batch] = _race(triton.http, arrays, batch)
        for name in served:
            await client.unload(name)
            repository.withdraw(name)
        return ratios


def _alone(model: Path, found: Optimized) -> Path:
    """A folder with nothing but the original."""
    folder = found.artifact.parent / "original"
    folder.mkdir(exist_ok=True)
    target = folder / "model.onnx"
    target.unlink(missing_ok=True)
    target.symlink_to(model)
    return folder


def _race(address: str, arrays: Mapping[str, np.ndarray], batch: int) -> float:
    """The median over bursts of the original's time before and after, by the chosen one's."""
    requests = [message(prepared({name: array[:batch] for name, array in arrays.items()}))]

    def seconds(name: str, seconds: float, least: int) -> float:
        calls = burst(address, name, requests, seconds=seconds, least=least, deadline=_DEADLINE)
        return median(calls)

    for name in (_ORIGINAL, _CHOSEN):
        seconds(name, 0.0, _WARM_UP)
    times: dict[str, list[float]] = {_ORIGINAL: [], _CHOSEN: []}
    for turn in range(2 * _BURSTS + 1):
        name = _CHOSEN if turn % 2 else _ORIGINAL
        times[name].append(seconds(name, _BURST_SECONDS, _LEAST))
    pairs = itertools.pairwise(times[_ORIGINAL])
    return median((a + b) / 2 / c for (a, b), c in zip(pairs, times[_CHOSEN], strict=True))
