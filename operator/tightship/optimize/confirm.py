"""In the real Triton: a model loads, answers as in the evaluation, and is faster there too."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from tightship.api.agent import ServingConfig
from tightship.optimize import runtime, serving
from tightship.optimize.budget import Budget
from tightship.optimize.contract import Contract
from tightship.optimize.data import Dataset
from tightship.optimize.engine import Executable
from tightship.optimize.failures import Reason, RefusalError
from tightship.optimize.metrics import fidelity
from tightship.optimize.race import Race, raced
from tightship.optimize.runtime import Outputs
from tightship.optimize.texts import decoded, encoded
from tightship.triton import config_pbtxt, profiler
from tightship.triton.client import Prepared, TritonClient, prepared
from tightship.triton.direct import Message, burst, message
from tightship.triton.errors import TritonError, TritonUnreachableError
from tightship.triton.profile import Profile
from tightship.triton.repository import Repository

ORIGINAL = "tightship-original"
CANDIDATE = "tightship-candidate"
_START_SECONDS = 180.0
_POLL_SECONDS = 0.2
_REQUEST_SECONDS = 120.0
_WARM_UP = 20
_DIFFERENT = 64  # samples that a race asks in turn
_COSINE_SAME = 0.999
_UNLIKE_SHARE = 0.001  # of the samples may round to another class between two runs
_BATCHES = (1, 4, 16)
_CONCURRENCY = 4
_SHORTEST = 1e-6  # seconds of a request that the clock cannot tell from 0
_POINT_REQUESTS = 60  # warm-up and least number of requests of one point of the profile


class UnconfirmedError(Exception):
    """A model is not what the evaluation saw, or Triton does not take it; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """That Triton gives the evaluation's answers: the share of samples that agree, largest gap."""

    samples: int
    agreeing: float
    max_abs: float


class Stand:
    """The Triton beside, its model repository, and how this model is asked."""

    def __init__(
        self,
        client: TritonClient,
        repository: Path,
        contract: Contract,
        config: Callable[[Executable], str],
        budget: Budget,
    ) -> None:
        repository.mkdir(parents=True, exist_ok=True)
        self.client = client
        self._repository = Repository(repository)
        self._contract = contract
        self._config = config
        self._budget = budget

    async def ready(self) -> str:
        """Wait for Triton; returns its version.

        Raises:
            RefusalError: it does not come up.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + _START_SECONDS
        while not await self.client.live():
            if loop.time() > end:
                raise RefusalError(
                    Reason.TRITON_FAILED,
                    f"The Triton beside the converter did not answer within {_START_SECONDS:g} s. "
                    "Look at the container 'triton' of the Job's pod.",
                )
            await asyncio.sleep(_POLL_SECONDS)
        return await self.client.server_version()

    async def load(self, name: str, model: Executable) -> None:
        """Put a model's files into the repository under a name and load it.

        Raises:
            UnconfirmedError: Triton does not take it.
        """
        folder = model.file.parent
        files = folder / f"{model.file.stem}-served"
        files.mkdir(exist_ok=True)
        for file in model.files:
            target = files / file.name
            target.unlink(missing_ok=True)
            target.hardlink_to(file)
        text = config_pbtxt.effective_config(
            config_pbtxt.without_cache(self._config(model)),
            name,
            ServingConfig(dynamic_batching=False),
        )
        self._repository.publish(name, folder.name, files=files, config=text)
        try:
            await self.client.load(name)
        except TritonUnreachableError:
            raise
        except TritonError as error:
            raise UnconfirmedError(f"Triton does not load it: {error}") from error

    async def drop(self, *names: str) -> None:
        """Unload models and take them out of the repository."""
        known = {entry.name for entry in await self.client.index()}
        for name in names:
            if name in known:
                await profiler.unload_and_wait(self.client, name)
            self._repository.withdraw(name)

    async def answers(self, name: str, dataset: Dataset, batch: int | None = None) -> Outputs:
        """Triton's answers, asked in the same batches as the evaluation unless another is given.

        Raises:
            UnconfirmedError: Triton refuses a request.
        """
        parts: dict[str, list[np.ndarray]] = {t.name: [] for t in self._contract.outputs}
        samples = self.wired(dataset)
        size = batch or self._budget.evaluation_batch
        for rows in runtime.batches(len(dataset), self._contract, size):
            found = await self._ask(name, self._request(samples, rows))
            for output, arrays in parts.items():
                arrays.append(decoded(found[output]))
        return runtime.join(parts, batched=self._contract.batched)

    async def _ask(self, name: str, request: Prepared) -> Outputs:
        with _confirmed():
            return await self.client.ask(name, request, deadline=_REQUEST_SECONDS)

    def wired(self, dataset: Dataset) -> Dataset:
        """The samples in the shapes that clients send: a scalar is one number in a list there."""
        arrays = {
            name: array.reshape((len(array), *serving.client_shape(array.shape[1:])))
            for name, array in dataset.arrays.items()
        }
        return Dataset(arrays)

    def _request(self, samples: Dataset, rows: slice) -> Prepared:
        chosen = {name: array[rows] for name, array in samples.arrays.items()}
        if not self._contract.batched:
            chosen = {name: array[0] for name, array in chosen.items()}
        return prepared(chosen)

    async def prove(self, name: str, dataset: Dataset, expected: Outputs) -> tuple[Proof, Outputs]:
        """Compare Triton's answers with those of the evaluation, sample by sample; returns both.

        Raises:
            UnconfirmedError: more than one in a thousand (at least one) differs.
        """
        got = _shaped(await self.answers(name, dataset), expected)
        same = agreeing(expected, got)
        allowed = max(1, int(len(same) * _UNLIKE_SHARE)) if len(same) > 1 else 0
        differing = int((~same).sum())
        if differing > allowed:
            raise UnconfirmedError(
                f"it answers {differing} of {len(same)} samples differently in Triton than in the "
                "evaluation"
            )
        gap = fidelity.fidelity(expected, got)["maxAbs"]
        return Proof(samples=len(same), agreeing=float(same.mean()), max_abs=gap), got

    async def race(self, dataset: Dataset, percentile: int, batch: int = 1) -> Race:
        """Bursts of the original and the candidate in turn: A C A C ... A."""
        requests = self._requests(dataset, batch)
        bursts: dict[str, list[list[float]]] = {ORIGINAL: [], CANDIDATE: []}
        for name in bursts:
            await self._burst(name, requests, 0.0, _WARM_UP)
        for index in range(2 * self._budget.confirm_bursts + 1):
            name = CANDIDATE if index % 2 else ORIGINAL
            seconds = self._budget.confirm_burst_seconds
            bursts[name].append(await self._burst(name, requests, seconds, 5))
        return raced(bursts[ORIGINAL], bursts[CANDIDATE], percentile, batch)

    def _requests(self, dataset: Dataset, batch: int = 1) -> list[Message]:
        """Different ones where there are samples; a batch begins again where there are too few."""
        samples = self.wired(dataset)
        rows = np.arange(max(batch, min(len(dataset), _DIFFERENT)))
        arrays = {n: np.take(a, rows, axis=0, mode="wrap") for n, a in samples.arrays.items()}
        starts = range(0, len(rows) - batch + 1, batch)
        chosen = Dataset(arrays)
        return [message(self._request(chosen, slice(row, row + batch))) for row in starts]

    async def _burst(
        self, name: str, requests: Sequence[Message], seconds: float, least: int
    ) -> list[float]:
        with _confirmed():
            return await asyncio.to_thread(
                burst,
                self.client.address,
                name,
                requests,
                seconds=seconds,
                least=least,
                deadline=_REQUEST_SECONDS,
            )

    async def alone(self, name: str, dataset: Dataset, percentile: int) -> Race:
        """The latency of one model without a rival."""
        requests = self._requests(dataset)
        await self._burst(name, requests, 0.0, _WARM_UP)
        seconds = self._budget.confirm_burst_seconds
        bursts = [
            await self._burst(name, requests, seconds, 5)
            for _ in range(self._budget.confirm_bursts)
        ]
        return raced(bursts, bursts, percentile, 1)

    async def profile(self, name: str, samples: Dataset, p50: float) -> Profile:
        """Latency by batch and concurrency, memory and load time, where a point is affordable."""
        arrays = {n: encoded(a) for n, a in self.wired(samples).arrays.items()}
        limit = self._budget.profile_point_seconds
        ceiling = max(1, self._contract.max_batch)
        batches = [
            b for b in _BATCHES if b == 1 or (b <= ceiling and b * p50 * _POINT_REQUESTS <= limit)
        ]
        seconds = self._budget.profile_seconds
        profile = await profiler.profile(
            self.client, name, arrays, batches=batches, concurrencies=(1,), seconds=seconds,
            largest=min(ceiling, max(1, int(limit / max(p50, _SHORTEST)))),
        )  # fmt: skip
        many = [
            await profiler.measure(
                self.client, name, arrays, batch=b, concurrency=_CONCURRENCY, seconds=seconds
            )
            for b in batches
            if b * p50 * _POINT_REQUESTS * _CONCURRENCY <= 2 * limit
        ]
        return replace(profile, points=(*profile.points, *many))


@contextmanager
def _confirmed() -> Iterator[None]:
    """What Triton refuses is unconfirmed; that it does not answer is no fault of the model."""
    try:
        yield
    except TritonUnreachableError:
        raise
    except TritonError as error:
        raise UnconfirmedError(f"Triton refuses a request to it: {error}") from error


def agreeing(expected: Outputs, got: Outputs) -> np.ndarray:
    """For each sample, whether all outputs are the same but for rounding."""
    same = np.ones(len(next(iter(expected.values()))), bool)
    for name, wanted in expected.items():
        actual = got[name]
        if wanted.shape != actual.shape:
            return np.zeros(len(same), bool)
        if wanted.dtype.kind == "f":
            same &= fidelity.cosines(wanted, actual) >= _COSINE_SAME
        else:
            flat = (decoded(wanted) == decoded(actual)).reshape(len(same), -1)
            same &= flat.all(axis=1)
    return same


def _shaped(got: Outputs, expected: Outputs) -> Outputs:
    """Triton's answers in the model's own shapes, where only axes of length 1 differ."""
    return {
        name: got[name].reshape(wanted.shape) if got[name].size == wanted.size else got[name]
        for name, wanted in expected.items()
    }
