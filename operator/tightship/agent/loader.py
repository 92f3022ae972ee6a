"""The ways of one model: up, to another version in place, down. Only verified models come out."""

import asyncio
import errno
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass

from tightship.agent.artifacts import Artifact, ArtifactCache
from tightship.agent.capacity import Capacity
from tightship.agent.failures import LOAD_FAILED, NO_SPACE_LEFT, LoadingError
from tightship.agent.golden import Golden, read_golden, refusal, verify
from tightship.agent.journal import Served
from tightship.agent.slot import STAGING_SUFFIX, Slot, SupersededError, identity
from tightship.api.agent import LoadState, ModelAssignment
from tightship.triton import config_pbtxt
from tightship.triton.client import TritonClient
from tightship.triton.errors import TritonError, TritonRefusedError
from tightship.triton.memory import MemoryMeter
from tightship.triton.profiler import LoadCost, load_measured, unload_and_wait
from tightship.triton.repository import Repository

log = logging.getLogger(__name__)

_VERSION_DIGITS = 8  # hex; as a number it stays far below what Triton takes for a version


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    """An assignment with all that is needed to load and to judge it."""

    assignment: ModelAssignment
    artifact: Artifact
    golden: Golden
    max_batch: int


class Loader:
    """Carries models into Triton, one at a time."""

    def __init__(
        self,
        *,
        triton: TritonClient,
        repository: Repository,
        cache: ArtifactCache,
        capacity: Capacity,
        meter: MemoryMeter,
        assigned: Callable[[], Collection[str]],
        instances: Callable[[str], Collection[str]],
    ) -> None:
        self._triton = triton
        self._repository = repository
        self._cache = cache
        self._capacity = capacity
        self._meter = meter
        self._assigned = assigned
        self._instances = instances
        self._one_at_a_time = asyncio.Lock()

    async def adopt(self, slot: Slot, served: Served) -> bool:
        """Takes over a model that Triton serves already, if it is what it should be.

        Triton tells by the identity in the configuration; the golden samples are asked again.
        """
        try:
            config = await self._triton.config(slot.name)
        except TritonRefusedError:
            return False
        if config_pbtxt.identity(config) != identity(served.assignment):
            return False
        candidate = await self._candidate(slot, served.assignment)
        await self._capacity.take(slot.name, _need(served.assignment, served.memory))
        try:
            await verify(self._triton, slot.name, candidate.golden, candidate.max_batch, rounds=1)
        except LoadingError:
            await self._capacity.release(slot.name)
            return False
        slot.reached(served)
        return True

    async def ask(self, served: ModelAssignment) -> str | None:
        """Why a served model cannot answer; None when it answers golden samples, or none are left.

        Where one of several instances has died, the others would answer: processes come first.

        Raises:
            TritonUnreachableError: Triton does not answer in time.
        """
        try:
            artifact = await self._cache.get(served, self._assigned())
            golden = await asyncio.to_thread(read_golden, artifact.golden, artifact.tolerance)
            config = await self._triton.config(served.name)
        except (LoadingError, OSError) as error:
            log.warning("%s: cannot be asked its golden samples: %s", served.name, error)
            return None
        except TritonRefusedError as error:
            return str(error)
        wanted, living = config_pbtxt.instances(config), len(self._instances(served.name))
        if 0 < living < wanted:
            return f"{wanted - living} of its {wanted} processes have ended"
        max_batch = int(config.get("max_batch_size", 0))
        return await refusal(self._triton, served.name, golden, max_batch, wanted)

    async def bring_up(self, slot: Slot, wanted: ModelAssignment) -> None:
        """Loads a model whose name nothing verified is served under.

        Raises:
            LoadingError: it is not loaded, and nothing of it stays in Triton.
            TritonUnreachableError: Triton went away meanwhile.
        """
        slot.enter(LoadState.FETCHING)
        candidate = await self._candidate(slot, wanted)
        slot.enter(LoadState.PENDING)
        await slot.unless_superseded(self._capacity.take(slot.name, wanted.memory))
        try:
            async with self._one_at_a_time:
                served = await self._load_verified(slot, candidate, slot.name)
        except BaseException:
            await self._capacity.release(slot.name)
            raise
        slot.reached(served)

    async def swap(self, slot: Slot, wanted: ModelAssignment) -> None:
        """Replaces what is served under the name; it is served until the new one is verified.

        The new one is loaded and verified under a staging name first. Then Triton replaces the
        old one by itself: it keeps it until the new one is ready.

        Raises:
            LoadingError: the old one is still served.
            TritonUnreachableError: Triton went away meanwhile.
        """
        old = slot.served
        if old is None:
            raise ValueError(f"nothing is served as '{slot.name}' that could be replaced")
        staging = slot.name + STAGING_SUFFIX
        slot.enter(LoadState.FETCHING)
        candidate = await self._candidate(slot, wanted)
        slot.enter(LoadState.PENDING)
        await slot.unless_superseded(self._capacity.take(staging, wanted.memory))
        try:
            async with self._one_at_a_time:
                served = await self._load_verified(slot, candidate, staging)
                await self._remove(staging)
                await self._replace(slot, candidate, old)
        except BaseException:
            await self._capacity.release(staging)
            raise
        await self._capacity.rename(staging, slot.name)
        slot.reached(served)

    async def take_down(self, slot: Slot) -> None:
        """Unloads whatever is served under the name, and waits until it has gone.

        Raises:
            TritonError: Triton does not answer, or keeps it.
        """
        slot.reached(None)  # at once: it may be wanted again before it has gone
        await self._capacity.leave(slot.name)
        async with self._one_at_a_time:
            await self._remove(slot.name)
        await self._capacity.release(slot.name)

    async def sweep(self, keep: Collection[str]) -> None:
        """Removes what an earlier life of the agent left in Triton and in the repository."""
        loaded = {entry.name for entry in await self._triton.index() if entry.state}
        for name in (loaded | self._repository.published().keys()) - set(keep):
            async with self._one_at_a_time:
                await self._remove(name)

    def clear(self) -> None:
        """Takes everything out of the repository: the next Triton begins with nothing."""
        for name in self._repository.published():
            log.warning("%s: Triton stays away; its next start is without this model", name)
            self._repository.withdraw(name)

    async def _candidate(self, slot: Slot, wanted: ModelAssignment) -> _Candidate:
        artifact = await slot.unless_superseded(self._cache.get(wanted, self._assigned()))
        golden = await asyncio.to_thread(read_golden, artifact.golden, artifact.tolerance)
        try:
            max_batch = config_pbtxt.max_batch_size(artifact.config)
        except config_pbtxt.ConfigError as error:
            raise LoadingError(LOAD_FAILED, f"{error}; correct it and publish again") from error
        return _Candidate(assignment=wanted, artifact=artifact, golden=golden, max_batch=max_batch)

    async def _load_verified(self, slot: Slot, candidate: _Candidate, name: str) -> Served:
        """Loads and verifies under a name; on a failure nothing stays there."""
        slot.enter(LoadState.LOADING)
        try:
            self._publish(candidate, name)
            cost = await self._load(name)
            need = _need(candidate.assignment, cost.memory)
            await self._capacity.take(name, need)
            slot.enter(LoadState.VERIFYING)
            await verify(self._triton, name, candidate.golden, candidate.max_batch)
        except LoadingError:
            await self._remove(name)
            raise
        except TritonError:
            self._repository.withdraw(name)  # it may be why; the next Triton begins without it
            raise
        return Served(
            assignment=candidate.assignment, memory=cost.memory, load_seconds=cost.seconds
        )

    async def _replace(self, slot: Slot, candidate: _Candidate, old: Served) -> None:
        """Puts the candidate in the place of the old one, and the old one back when that fails."""
        slot.enter(LoadState.LOADING)
        try:
            self._publish(candidate, slot.name)
            await self._load(slot.name)
            slot.enter(LoadState.VERIFYING)
            await verify(self._triton, slot.name, candidate.golden, candidate.max_batch)
        except LoadingError:
            await self._put_back(slot, old)
            raise

    async def _put_back(self, slot: Slot, old: Served) -> None:
        """Serves the old one again; when even that fails, nothing is served under the name."""
        try:
            before = await self._candidate(slot, old.assignment)
            self._publish(before, slot.name)
            await self._load(slot.name)
            await verify(self._triton, slot.name, before.golden, before.max_batch)
        except (LoadingError, SupersededError):
            await self._remove(slot.name)
            await self._capacity.release(slot.name)
            slot.reached(None)

    def _publish(self, candidate: _Candidate, name: str) -> None:
        assignment, artifact = candidate.assignment, candidate.artifact
        try:
            plain = config_pbtxt.effective_config(artifact.config, name, assignment.config)
            cached = config_pbtxt.caches_responses(plain)
            version = _version(assignment.digest) if cached else 1
            config = config_pbtxt.overlay(
                artifact.config,
                name,
                assignment.config,
                version=version,
                identity=identity(assignment),
            ).text
            if name.endswith(STAGING_SUFFIX):
                config = config_pbtxt.without_cache(config)
            self._repository.publish(
                name, identity(assignment), files=artifact.model, config=config, version=version
            )
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise LoadingError(
                    NO_SPACE_LEFT,
                    "the volume of the model repository is full; give the pool's servers more "
                    "ephemeral storage",
                ) from error
            raise

    async def _load(self, name: str) -> LoadCost:
        try:
            return await load_measured(self._triton, name, self._meter)
        except TritonRefusedError as error:
            raise LoadingError(LOAD_FAILED, f"Triton refuses the model: {error}") from error

    async def _remove(self, name: str) -> None:
        await unload_and_wait(self._triton, name)
        self._repository.withdraw(name)


def _need(assignment: ModelAssignment, measured: int | None) -> int:
    """What a model counts for: what was declared from its profile, or more if it took more."""
    return max(assignment.memory, measured or 0)


def _version(digest: str) -> int:
    """A version folder of its own for each artifact.

    Triton's response cache is keyed by name, version and inputs and outlives a reload: under one
    number a new variant would give the answers of the old one.
    """
    return int(digest[:_VERSION_DIGITS], 16) + 2
