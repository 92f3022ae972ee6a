"""One pass over one pool: observe, decide, act."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence

from tightship.controller.act import Executor, Result
from tightship.controller.steps import Hands
from tightship.controller.strangers import RECHECK_SECONDS
from tightship.controller.telemetry import condition_labels
from tightship.kube.apply import Outcome
from tightship.kube.queue import WorkError
from tightship.kube.resources import OPTIMIZED_MODELS, SERVING_POOLS
from tightship.kube.store import PoolKey
from tightship.plan.actions import ApplyModelStatus, Plan
from tightship.plan.memo import Memo
from tightship.plan.snapshot import Snapshot

_log = logging.getLogger(__name__)

Decide = Callable[[Snapshot, Memo], Plan]


class Reconciler:
    """Brings pools from what is to what is wanted. No state in it matters: a restart is free."""

    def __init__(self, hands: Hands, decide: Decide) -> None:
        self._do = hands
        self._decide = decide
        self._executor = Executor(hands)
        self._memos: dict[PoolKey, Memo] = {}
        self._measured: dict[PoolKey, int] = {}

    async def reconcile(self, pool: PoolKey) -> float | None:
        """One pass; the seconds after which the plan wants to be asked again.

        Raises:
            WorkError: an action failed; the pass is to be repeated after a pause.
            KubeError: what the pass has to know could not be read.
        """
        with self._do.telemetry.reconcile_seconds.time():
            if not self._concerns(pool):
                self._forget(pool)
                return None
            news = self._do.news(pool)
            snapshot = await self._observe(pool)
            began = time.perf_counter()
            plan = self._decide(snapshot, self._memos.setdefault(pool, Memo()))
            self._do.telemetry.plan_seconds.observe(time.perf_counter() - began)
            results = await self._executor.carry_out(pool, plan.actions, news)
            self._measure(pool, snapshot, results)
            _raise_failures(results)
            return _again(plan, snapshot, results)

    async def _observe(self, pool: PoolKey) -> Snapshot:
        credentials = await self._do.certificates.credentials(pool)
        self._do.servers.follow(pool, self._do.observer.addresses(pool), credentials)
        self._do.positions.follow(pool, self._do.observer.logs(pool))
        strangers = await self._do.strangers.services(pool)
        return self._do.observer.snapshot(
            pool,
            secret_expires=credentials.expires if credentials else None,
            strangers=strangers,
        )

    def _concerns(self, pool: PoolKey) -> bool:
        """Whether there is a pool or a model of it, or anything of theirs that is not gone yet."""
        exists = self._do.store.get(SERVING_POOLS, *pool) is not None
        return exists or pool in self._do.store.pools()

    def _forget(self, pool: PoolKey) -> None:
        self._do.servers.follow(pool, {}, None)
        self._do.positions.follow(pool, {})
        self._do.observer.forget(pool)
        self._do.certificates.forget(pool)
        self._do.memory.keep(pool, ())
        self._do.telemetry.forget(pool)
        self._memos.pop(pool, None)
        self._measured.pop(pool, None)

    def _measure(self, pool: PoolKey, snapshot: Snapshot, results: Sequence[Result]) -> None:
        told = any(isinstance(result.action, ApplyModelStatus) for result in results)
        if told or self._measured.get(pool) != len(snapshot.models):
            self._measured[pool] = len(snapshot.models)
            self._do.telemetry.count_models(pool, self._labels(pool))
        reachable = sum(1 for s in snapshot.servers if s.agent and s.agent_error is None)
        self._do.telemetry.count_agents(pool, reachable, len(snapshot.servers) - reachable)
        self._do.telemetry.events_dropped.set(self._do.events.dropped)

    def _labels(self, pool: PoolKey) -> Iterator[tuple[str, ...]]:
        memo = self._memos.setdefault(pool, Memo())
        for entry in self._do.store.of_pool(OPTIMIZED_MODELS, pool):
            status = entry.value.get("status") or {}
            yield from memo.of(entry.name, condition_labels, status)


def _again(plan: Plan, snapshot: Snapshot, results: Sequence[Result]) -> float | None:
    known = {service.name for service in snapshot.services if not service.ours}
    wishes = [plan.requeue_after, RECHECK_SECONDS if known else None]
    found = {getattr(r.action, "model", "") for r in results if r.outcome is Outcome.NOT_OURS}
    if found - known:
        wishes.append(0.0)  # news for the plan, and no watch will tell
    return min((wish for wish in wishes if wish is not None), default=None)


def _raise_failures(results: Sequence[Result]) -> None:
    failed = [result for result in results if result.error]
    if failed:
        first = failed[0]
        kind = type(first.action).__name__
        raise WorkError(
            f"{len(failed)} of {len(results)} actions failed, first {kind}: {first.error}"
        )
