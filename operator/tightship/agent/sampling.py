"""Samples requests of the models that ask for it: has Triton trace them, reads and removes traces.

Triton writes every so many requests down by itself (level TENSORS), so the agent is in no request's
way. It allows a few traces at a time and no more before those are read: what lies on the volume and
what it costs stay bounded, whatever the load is.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tightship.agent.artifacts import ArtifactCache
from tightship.agent.drift import Window, untraceable
from tightship.agent.failures import LoadingError
from tightship.agent.journal import Served
from tightship.agent.metrics import Telemetry
from tightship.agent.slot import Slot
from tightship.api.agent import DriftReport, DriftSampling
from tightship.drift.reference import Reference
from tightship.triton.client import OWN_REQUESTS, TritonClient
from tightship.triton.errors import TritonError, TritonRefusedError
from tightship.triton.traces import LEVELS, read_trace

_LOOK_SECONDS = 2.0
_ASK_SECONDS = 30.0  # without a trace until Triton is asked whether it still is to write some
_AT_ONCE = 64  # traces of one model that may wait to be read
_AT_ONCE_BYTES = 4 * 2**20
_LOOK_BYTES = 8 * 2**20  # read at one look
_FILE_MAX = 48 * 2**20
_BYTES_PER_SECOND = 2**19  # of all models: Triton takes some 25 ns for a byte, so 1.3 % of a core
_WRITING_SECONDS = 5.0  # after which a file without an end will not get one
_WHOLE = b"}]"
_OFF = {"trace_level": ["OFF"]}

NO_VOLUME = "its server's pod has no volume for traces; it is replaced when the pool's servers are"
NO_REFERENCE = (
    "its artifact has no reference, because it was converted without data or by an older version; "
    "give data.evaluation or data.calibration and have it converted again"
)

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Watched:
    """One model that is sampled, or the trouble why it is not."""

    served: Served
    sampling: DriftSampling
    window: Window | None = None
    trouble: str | None = None
    allowed: int = 0  # traces that Triton may still write
    bytes: int = 0  # of the largest trace so far
    heard: float = 0.0  # monotonic seconds of the last trace, or of the last question

    @property
    def report(self) -> DriftReport:
        """What is known of it."""
        if self.window is not None and self.trouble is None:
            return self.window.report
        return DriftReport(digest=self.served.assignment.digest, trouble=self.trouble)


class Sampler:
    """All models of this server that are sampled. `folder` is where Triton writes traces."""

    def __init__(
        self,
        *,
        triton: TritonClient,
        cache: ArtifactCache,
        assigned: Callable[[], Collection[str]],
        folder: Path,
        telemetry: Telemetry,
    ) -> None:
        self._triton = triton
        self._cache = cache
        self._assigned = assigned
        self._folder = folder
        self._telemetry = telemetry
        self._watched: dict[str, _Watched] = {}
        self._free_at = 0.0  # monotonic seconds; no trace is allowed before

    async def run(self, slots: Callable[[], Iterable[Slot]]) -> None:
        """Looks again and again until cancelled; tells each slot what its samples show."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)  # Triton tells nobody that a trace is written
            try:
                await self._look(dict(_wishes(slots())))
            except (TritonError, OSError) as error:
                log.info("requests cannot be sampled now: %s", error)
            except Exception:  # sampling must not take down what serves
                log.exception("sampling failed unexpectedly")
            self._tell(slots())

    async def _look(self, wishes: Mapping[str, tuple[Served, DriftSampling]]) -> None:
        for name in self._watched.keys() - wishes.keys():
            await self._stop(name)
        for name, (served, sampling) in wishes.items():
            watched = self._watched.get(name)
            if watched and watched.served is served and watched.sampling == sampling:
                continue
            self._watched[name] = await self._start(name, served, sampling)
        if any(watched.trouble is None for watched in self._watched.values()):
            await asyncio.to_thread(self._collect)
        for name, watched in self._watched.items():
            await self._allow(name, watched)

    async def _start(self, name: str, served: Served, sampling: DriftSampling) -> _Watched:
        watched = _Watched(served, sampling)
        try:
            artifact = await self._cache.get(served.assignment, self._assigned())
            config = await self._triton.config(name)
            if not self._folder.is_dir():
                watched.trouble = NO_VOLUME
            elif artifact.reference is None:
                watched.trouble = NO_REFERENCE
            else:
                text = await asyncio.to_thread(artifact.reference.read_text)
                reference, batch = Reference.from_json(text), int(config.get("max_batch_size", 0))
                tensors = [*config.get("input", ()), *config.get("output", ())]
                types = {str(tensor["name"]): str(tensor["data_type"]) for tensor in tensors}
                watched.trouble = untraceable(reference, batch, types)
                digest = served.assignment.digest
                watched.window = Window(digest, sampling, reference, batched=batch > 0)
        except (LoadingError, ValueError) as error:
            watched.trouble = f"its reference cannot be read: {error}"
        return watched

    async def _stop(self, name: str) -> None:
        del self._watched[name]
        try:
            await self._triton.trace(name, _OFF)
        except TritonRefusedError:
            log.info("%s: is gone, and with it its tracing", name)

    def _collect(self) -> None:
        """Counts and removes what Triton has written; runs in a thread."""
        left = _LOOK_BYTES
        for path in sorted(self._folder.iterdir()):
            size = path.stat().st_size
            content = path.read_bytes() if size <= _FILE_MAX else b""
            old = time.time() - path.stat().st_mtime > _WRITING_SECONDS
            if not (content.endswith(_WHOLE) or old or size > _FILE_MAX):
                continue
            path.unlink()
            self._count(content)
            self._free_at = max(self._free_at, time.monotonic()) + size / _BYTES_PER_SECOND
            left -= size
            if left <= 0:
                return

    def _count(self, content: bytes) -> None:
        trace = read_trace(content)
        watched = self._watched.get(trace.model) if trace else None
        if trace is None or watched is None:
            return
        watched.allowed -= 1
        watched.bytes = max(watched.bytes, len(content))
        watched.heard = time.monotonic()
        if watched.window is not None and trace.request_id != OWN_REQUESTS:
            watched.window.add(trace)

    async def _allow(self, name: str, watched: _Watched) -> None:
        """Lets Triton write further traces of a model once it has written those it was allowed."""
        now = time.monotonic()
        if watched.trouble is not None:
            return
        if watched.allowed > 0 and now - watched.heard > _ASK_SECONDS:
            settings = await self._triton.traced(name)
            watched.heard = now
            if settings["trace_level"] == _OFF["trace_level"] or settings["trace_count"] == "0":
                watched.allowed = 0
        if watched.allowed > 0 or now < self._free_at:
            return
        few = _AT_ONCE_BYTES // watched.bytes if watched.bytes else 1
        watched.allowed, watched.heard = max(1, min(_AT_ONCE, few)), now
        try:
            await self._triton.trace(
                name,
                {
                    "trace_level": list(LEVELS),
                    "trace_rate": str(watched.sampling.rate),
                    "trace_count": str(watched.allowed),
                    "log_frequency": "1",
                },
            )
        except TritonRefusedError as error:
            watched.trouble = f"Triton does not write its requests down: {error}"

    def _tell(self, slots: Iterable[Slot]) -> None:
        for slot in slots:
            watched = self._watched.get(slot.name)
            slot.sampled(watched.report if watched else None)
        windows = {n: w.window for n, w in self._watched.items() if w.window is not None}
        self._telemetry.sampled({n: (w.worst, w.taken) for n, w in windows.items()})


def _wishes(slots: Iterable[Slot]) -> Iterator[tuple[str, tuple[Served, DriftSampling]]]:
    """What is served, of the models that are to be sampled."""
    for slot in slots:
        if slot.served is not None and slot.wanted is not None and slot.wanted.drift is not None:
            yield slot.name, (slot.served, slot.wanted.drift)
