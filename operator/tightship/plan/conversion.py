"""Which step of its conversion each model is at, and which Jobs that takes.

A unit of work is an intake (named by the inputs' hash) or a conversion (named by KEY). Models that
need the same work share it: one Job, owned by all of them, one count of attempts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tightship.api.artifact import IntakeResult, Summary
from tightship.api.failures import DIGEST_MISMATCH
from tightship.plan import figures, refresh, remembered
from tightship.plan import work as units
from tightship.plan.actions import ApplyJob, DeleteJob
from tightship.plan.inputs import PoolIdentity
from tightship.plan.memo import POOL
from tightship.plan.outcome import Outcome, finished, frozen, kept
from tightship.plan.recurring import KINDS, Recurring
from tightship.plan.snapshot import JobKind, JobState
from tightship.plan.work import Work, spec_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tightship.api.conditions import Condition
    from tightship.api.v1alpha1 import ServingPoolSpec
    from tightship.plan.memo import Memo
    from tightship.plan.snapshot import JobFact, ModelFact


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversions:
    """Outcomes by model name, actions in order, when the next Job is due (None: never)."""

    outcomes: Mapping[str, Outcome]
    actions: tuple[ApplyJob | DeleteJob, ...]
    wake: float | None


def plan_conversions(
    models: Sequence[ModelFact],
    jobs: Sequence[JobFact],
    pool_name: str,
    pool: ServingPoolSpec,
    now: float,
    held: frozenset[str],
    memo: Memo,
) -> Conversions:
    """Decides for the models of a pool that have a valid spec and are not being deleted.

    `held` are uids of models whose spec is invalid: what they wanted before is left to run.
    """
    return _Planner(models, jobs, pool_name, pool, now, memo).plan(held)


def delete_unneeded(
    jobs: Iterable[JobFact], needed: set[tuple[JobKind, str]], held: frozenset[str]
) -> list[DeleteJob]:
    """Jobs that no model needs; one that a held (paused or invalid) model owns stays."""
    return [
        DeleteJob(name=job.name, uid=job.uid, reason="no model needs its result any more")
        for job in jobs
        if (job.kind, job.inputs) not in needed and not job.owners & held
    ]


class _Planner:
    def __init__(
        self,
        models: Sequence[ModelFact],
        jobs: Sequence[JobFact],
        pool_name: str,
        pool: ServingPoolSpec,
        now: float,
        memo: Memo,
    ) -> None:
        self._memo = memo
        self._models = sorted(models, key=lambda m: (m.created, m.name))
        self._jobs = {(job.kind, job.inputs): job for job in jobs}
        self._pool_name = pool_name
        self._pool = pool
        self._identity = memo.of(POOL, PoolIdentity, pool)
        self._now = now
        self._work: dict[tuple[JobKind, str], Work] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._actions: list[ApplyJob | DeleteJob] = []
        self._wake: float | None = None
        self._needed: set[tuple[JobKind, str]] = set()
        self._stale: dict[str, DeleteJob] = {}
        self._recurring = Recurring(self._jobs, pool.converter.retries, now, memo)
        self._spare = 0  # slots of intakes that no intake waits for
        self._intakes, self._artifacts = remembered.known(self._models, memo)

    def plan(self, held: frozenset[str]) -> Conversions:
        for model in self._models:
            if model.paused:
                self._outcomes[model.name] = frozen(model)
            else:
                self._step(model)
        held |= {m.uid for m in self._models if m.paused}
        self._actions += self._stale.values()
        needed = self._needed | self._recurring.needed
        self._actions += delete_unneeded(self._jobs.values(), needed, held)
        for kind in (JobKind.INTAKE, JobKind.CONVERT):
            self._schedule(kind, [w for w in self._work.values() if w.kind is kind])
        self._recur()
        return Conversions(outcomes=self._outcomes, actions=tuple(self._actions), wake=self._wake)

    def _step(self, model: ModelFact) -> None:
        spec = spec_of(model)
        name = self._memo.of(model.name, PoolIdentity.inputs_hash, self._identity, spec)
        self._needed.add((JobKind.INTAKE, name))
        self._recurring.look(name, model)
        intake = self._intake(name, model)
        if intake is None:
            self._join(JobKind.INTAKE, name, model, None)
            return
        key = self._memo.of(model.name, PoolIdentity.artifact_key, self._identity, spec, intake)
        if remembered.lapsed(model, name, key):
            self._renew(name, model)
            return
        self._needed.add((JobKind.CONVERT, key))
        found = self._artifact(model, key)
        if found is None:
            self._join(JobKind.CONVERT, key, model, intake)
            return
        self._outcomes[model.name] = self._memo.of(
            model.name, finished, name, key, intake, model.retry, found
        )
        self._recurring.evaluate(name, model, found)

    def _renew(self, name: str, model: ModelFact) -> None:
        """Back to an intake, once the Job that knows the former bytes is gone."""
        job = self._jobs.get((JobKind.INTAKE, name))
        if job is None or not job.ended:
            self._join(JobKind.INTAKE, name, model, None)
            return
        reason = "the source has changed since; another intake takes its name"
        self._stale[job.name] = DeleteJob(name=job.name, uid=job.uid, reason=reason)
        self._outcomes[model.name] = kept(model, units.changed())

    def _intake(self, name: str, model: ModelFact) -> IntakeResult | None:
        """What the model's own status knows counts first, since a source may have changed.

        Unless another look has found other bytes since.
        """
        own = self._memo.of(model.name, remembered.intake_of, model)
        look = self._recurring.looks.get(model.name)
        known = own[1] if own and own[0] == name else None
        if look and look.found and not (known and refresh.same_bytes(known, look.found)):
            return look.found
        if known:
            return known
        if name in self._intakes and not remembered.renewed(model, name):
            return self._intakes[name]
        job = self._jobs.get((JobKind.INTAKE, name))
        if job and job.state is JobState.SUCCEEDED and isinstance(job.result, IntakeResult):
            return job.result
        return None

    def _recur(self) -> None:
        """What of the recurring Jobs is told of each model, and those that begin."""
        due = self._recurring.due(self._models, self._outcomes)
        for model in self._models:
            if not model.paused:
                outcome = self._outcomes[model.name]
                self._outcomes[model.name] = self._recurring.told(model, outcome)
        for work in due:
            self._begin(work)
        times = [time for time in (self._wake, self._recurring.wake) if time is not None]
        self._wake = min(times, default=None)

    def _begin(self, work: Work) -> None:
        """Intakes come first and share their slots; a former Job of that name has to be gone."""
        what = "is to be evaluated" if work.kind is JobKind.EVALUATE else "may have new bytes"
        if units.active(work):
            self._apply(work, "another model needs it too", only_new_owners=True)
        elif work.job:
            reason = f"{work.label} {what} again, by a Job of this name"
            self._actions.append(DeleteJob(name=work.job.name, uid=work.job.uid, reason=reason))
        elif self._spare > 0:
            self._spare -= 1
            self._apply(work, f"{work.label} {what} again")

    def _artifact(self, model: ModelFact, key: str) -> remembered.Parts | None:
        own = model.status.get("artifact")
        if own and own.get("key") == key and key in self._artifacts:
            return own, model.status.get("optimization", {})
        job = self._jobs.get((JobKind.CONVERT, key))
        if job and job.state is JobState.SUCCEEDED and isinstance(job.result, Summary):
            store = self._pool.store.uri
            return (
                figures.artifact_json(job.result),
                figures.optimization_json(job.result, store),
            )
        return self._artifacts.get(key)

    def _join(
        self, kind: JobKind, name: str, model: ModelFact, intake: IntakeResult | None
    ) -> None:
        work = self._work.setdefault((kind, name), Work(kind=kind, name=name, intake=intake))
        work.job = self._jobs.get((kind, name))
        work.users.append(model)

    def _schedule(self, kind: JobKind, works: list[Work]) -> None:
        for work in works:
            units.recall(work)
            units.learn(work)
        active = [w for w in works if units.active(w)]
        idle = [w for w in works if not units.active(w)]
        for work in active:
            self._tell(work, units.running(work))
            self._apply(work, "another model needs it too", only_new_owners=True)
        self._queue(kind, [w for w in idle if self._settled(w)], active)

    def _settled(self, work: Work) -> bool:
        """Says what a failure means for its users; True when the work may be queued (again)."""
        if work.failure is None:
            return True
        if work.asked:
            return self._again(work)
        if not work.failure.retryable or work.attempts > self._pool.converter.retries:
            self._tell(work, units.changed() if self._renewable(work) else units.failed(work))
            return False
        if work.job is None:
            return True
        due = (work.job.finished or work.job.created) + units.backoff(work.attempts)
        self._tell(work, units.retrying(work, due, self._pool.converter.retries))
        if self._now < due or not work.remembered:
            self._wake = min(due, self._wake or due)
        else:
            reason = f"attempt {work.attempts} failed; the next one takes its name"
            self._actions.append(DeleteJob(name=work.job.name, uid=work.job.uid, reason=reason))
        return False

    def _renewable(self, work: Work) -> bool:
        """Whether it goes back to an intake as soon as the statuses know of its failure."""
        gone = work.failure is not None and work.failure.reason == DIGEST_MISMATCH
        names_ = {m.name: self._identity.inputs_hash(spec_of(m)) for m in work.users}
        again = any(remembered.renewed(m, names_[m.name]) for m in work.users)
        return gone and work.kind is JobKind.CONVERT and not again

    def _again(self, work: Work) -> bool:
        """A user asked for another try: the failed Job goes, then the work counts as new."""
        if work.job is None:
            units.forget(work)
            return True
        self._tell(work, units.failed(work))
        reason = f"{work.label}: another try was asked for, and takes its name"
        self._actions.append(DeleteJob(name=work.job.name, uid=work.job.uid, reason=reason))
        return False

    def _queue(self, kind: JobKind, waiting: list[Work], active: list[Work]) -> None:
        converter = self._pool.converter
        limit, free = converter.max_concurrent, converter.max_concurrent - len(active)
        if kind is JobKind.INTAKE:
            others = [j for j in self._jobs.values() if j.kind in KINDS and not j.ended]
            limit = converter.max_concurrent_intakes
            free = limit - len(active) - len(others)
            self._spare = free - len(waiting)
        waiting.sort(key=lambda w: w.order)
        free = max(0, free)
        for work in waiting[:free]:
            self._apply(work, units.why(work))
            self._tell(work, units.starting(work))
        taken = [w.label for w in [*active, *waiting[:free]]]
        queue = waiting[free:]
        named = [w.label for w in queue[: units.NAMED_AHEAD]]
        for position, work in enumerate(queue):
            self._tell(work, units.waiting(work, limit, taken, named[:position]))

    def _apply(self, work: Work, reason: str, *, only_new_owners: bool = False) -> None:
        if only_new_owners and work.job and {m.uid for m in work.users} <= work.job.owners:
            return
        self._actions.append(units.job(work, self._pool_name, self._pool, reason))

    def _tell(self, work: Work, condition: Condition) -> None:
        if work.intake is not None:
            condition = units.limited(condition, work.intake.limitations)
        for model in work.users:
            name = self._identity.inputs_hash(spec_of(model))
            key = work.name if work.kind is JobKind.CONVERT else None
            done = model.status.get("conversion") or {}
            retry = done.get("retry", "") if work.asked else model.retry
            renewed = remembered.renewed(model, name, work.kind)
            progress = remembered.progress(name, key, work.intake, retry, renewed)
            conversion = {**progress, **units.attempts_json(work), **units.progress_json(work)}
            self._outcomes[model.name] = replace(kept(model, condition), conversion=conversion)
