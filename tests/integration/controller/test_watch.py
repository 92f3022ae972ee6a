"""What happens to the watch when the API server, or something before it, goes wrong."""

import asyncio
from pathlib import Path

import pytest
from tests.integration.controller.fault_proxy import FAULTS, FaultProxy
from tests.integration.controller.harness import (
    Recorder,
    apply,
    eventually,
    model,
    namespace,
    operating,
    pool,
)
from tests.support.apiserver import ApiServer

from tightship.kube.resources import WATCHED
from tightship.plan.snapshot import Snapshot


def names(snapshot: Snapshot) -> set[str]:
    return {model.name for model in snapshot.models}


@pytest.mark.parametrize("fault", FAULTS)
async def test_recovers_and_has_missed_nothing(
    fault: str, apiserver: ApiServer, tmp_path: Path
) -> None:
    where = namespace(apiserver)
    apply(apiserver, where, pool(), model("stays"), model("goes"))
    recorder = Recorder()
    async with FaultProxy(apiserver).serving() as proxy:
        kubeconfig = proxy.kubeconfig(tmp_path)
        async with operating(kubeconfig, recorder, namespaces=(where,)) as supervisor:
            await recorder.until(lambda s: names(s) == {"stays", "goes"}, where)
            proxy.strike(fault)
            await eventually(lambda: proxy.struck >= len(WATCHED), "the fault strikes every watch")
            apiserver.kubectl("delete", "om", "goes", "-n", where)
            apply(apiserver, where, model("comes"))
            proxy.heal()
            await recorder.until(lambda s: names(s) == {"stays", "comes"}, where)
            assert supervisor.health().ready


async def test_an_outage_of_everything_ends_the_term_and_a_new_one_begins(
    apiserver: ApiServer, tmp_path: Path
) -> None:
    where = namespace(apiserver)
    apply(apiserver, where, pool(), model("stays"), model("goes"))
    recorder = Recorder()
    async with FaultProxy(apiserver).serving() as proxy:
        proxy.hits = lambda _: True
        kubeconfig = proxy.kubeconfig(tmp_path)
        async with operating(
            kubeconfig, recorder, namespaces=(where,), lease_duration=5
        ) as supervisor:
            await recorder.until(lambda s: names(s) == {"stays", "goes"}, where)
            first = supervisor.term
            proxy.strike("503")
            await eventually(lambda: supervisor.term is None, "leadership ends without renewal")
            assert supervisor.health().alive
            apiserver.kubectl("delete", "om", "goes", "-n", where)
            proxy.heal()
            await recorder.until(lambda s: names(s) == {"stays"}, where)
            assert supervisor.term is not first


async def test_edits_reach_the_plan_once_each_at_most(apiserver: ApiServer) -> None:
    where = namespace(apiserver)
    apply(apiserver, where, pool())
    recorder = Recorder()
    async with operating(apiserver.kubeconfig, recorder, namespaces=(where,)):
        for priority in range(5):
            apply(apiserver, where, model("edited", priority=priority))
        snapshot = await recorder.until(lambda s: any(m.generation == 5 for m in s.models), where)
        spec = snapshot.models[0].spec
        assert getattr(spec, "serving").priority == 4  # noqa: B009 (InvalidSpec has none)


async def test_only_asked_namespaces_are_watched(apiserver: ApiServer) -> None:
    here, there = namespace(apiserver), namespace(apiserver)
    for where in (here, there):
        apply(apiserver, where, pool(), model("one"))
    recorder = Recorder()
    async with operating(apiserver.kubeconfig, recorder, namespaces=(here,)):
        await recorder.until(lambda s: names(s) == {"one"}, here)
        await asyncio.sleep(0)
        assert (there, "shared") not in recorder.seen


async def test_a_kind_that_falls_silent_begins_the_watch_anew(
    apiserver: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tightship.controller.term.SILENT_SECONDS", 1.0)
    monkeypatch.setattr("tightship.controller.term._SAMPLE_SECONDS", 0.2)
    where = namespace(apiserver)
    apply(apiserver, where, pool(), model("one"))
    recorder = Recorder()
    async with operating(apiserver.kubeconfig, recorder, namespaces=(where,)) as supervisor:
        await recorder.until(lambda s: names(s) == {"one"}, where)

        def restarts() -> bool:
            return b'watch_restarts_total{error="Silence"}' in supervisor.telemetry.text()

        await eventually(restarts, "the silence is seen")
        apply(apiserver, where, model("two"))
        await recorder.until(lambda s: names(s) == {"one", "two"}, where)
