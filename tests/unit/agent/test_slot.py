"""A model's state as the API shows it: LOADED is said of nothing but what is verified."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest

from tightship.agent.failures import LOAD_FAILED, LoadingError
from tightship.agent.journal import Served
from tightship.agent.slot import Slot, SupersededError, identity
from tightship.api.agent import HeldModel, LoadState, ModelAssignment, ServingConfig

OLD = ModelAssignment(name="m", key="a" * 64, digest="1" * 64, memory=5, config=ServingConfig())
NEW = replace(OLD, digest="2" * 64)
SERVED = Served(assignment=OLD, memory=6, load_seconds=0.5)
FAILURE = LoadingError(LOAD_FAILED, "words").failure


def _slot(*, wanted: ModelAssignment | None = None, served: ModelAssignment | None = None) -> Slot:
    slot = Slot("m", lambda: None)
    slot.want(wanted)
    if served:
        slot.reached(Served(assignment=served, memory=6, load_seconds=0.5))
    return slot


def _loaded(model: ModelAssignment) -> HeldModel:
    return HeldModel(
        name="m",
        state=LoadState.LOADED,
        digest=model.digest,
        config=model.config,
        memory=6,
        load_seconds=0.5,
    )


def test_a_new_wish_is_pending() -> None:
    assert _slot(wanted=OLD).view() == HeldModel(name="m", state=LoadState.PENDING)


def test_steps_towards_the_first_version() -> None:
    slot = _slot(wanted=OLD)
    slot.enter(LoadState.FETCHING)
    assert slot.view().state is LoadState.FETCHING
    assert slot.view().digest is None


def test_a_verified_model_is_loaded() -> None:
    assert _slot(wanted=OLD, served=OLD).view() == _loaded(OLD)


def test_the_old_version_stays_loaded_during_a_change() -> None:
    slot = _slot(wanted=OLD, served=OLD)
    slot.want(NEW)
    slot.enter(LoadState.VERIFYING)
    wanted = replace(_loaded(OLD), target_digest=NEW.digest, target_state=LoadState.VERIFYING)
    assert slot.view() == wanted


def test_a_failed_change_is_told_beside_the_old_version() -> None:
    slot = _slot(wanted=OLD, served=OLD)
    slot.want(NEW)
    slot.failed(FAILURE)
    wanted = replace(
        _loaded(OLD),
        target_digest=NEW.digest,
        target_state=LoadState.FAILED,
        failure=FAILURE,
    )
    assert slot.view() == wanted


def test_a_wish_taken_back_forgets_the_failure() -> None:
    slot = _slot(wanted=OLD, served=OLD)
    slot.want(NEW)
    slot.failed(FAILURE)
    slot.want(OLD)
    assert slot.view() == _loaded(OLD)
    assert slot.attempts == 0


def test_equal_wishes_keep_the_count_of_attempts() -> None:
    slot = _slot(wanted=OLD)
    slot.failed(FAILURE)
    slot.want(replace(OLD, memory=9))
    assert slot.attempts == 1


def test_what_is_lost_is_pending_again() -> None:
    slot = _slot(wanted=OLD, served=OLD)
    slot.lost()
    assert slot.view() == HeldModel(name="m", state=LoadState.PENDING)


def test_what_crashed_is_not_loaded_any_more() -> None:
    slot = _slot(wanted=OLD, served=OLD)
    slot.crashed("dead", 1000.0)
    view = slot.view()
    assert (view.state, view.digest, view.target_digest) == (LoadState.LOADING, None, OLD.digest)
    assert view.failure is not None
    assert view.failure.reason == "ModelCrashed"
    assert slot.rest(1000.0) == 0
    slot.reached(SERVED)
    assert slot.view() == _loaded(OLD)


def test_what_crashes_again_is_failed_and_waits() -> None:
    slot = _slot(wanted=OLD, served=OLD)
    slot.crashed("dead", 1000.0)
    slot.reached(SERVED)
    slot.crashed("dead", 1010.0)
    assert slot.view().state is LoadState.FAILED
    assert slot.rest(1010.0) == 1
    slot.want(None)
    assert slot.rest(1010.0) == 0


def test_a_failed_way_back_keeps_its_reason_and_is_tried_again() -> None:
    slot = _slot(wanted=OLD, served=OLD)
    slot.crashed("dead", 1000.0)
    slot.failed(FAILURE)
    assert slot.failure is not None
    assert (slot.failure.reason, slot.failure.retryable) == ("ModelCrashed", True)
    assert "LoadFailed: words" in slot.failure.message


def test_what_crashed_and_what_is_wanted_are_tried_in_turn() -> None:
    slot = _slot(wanted=OLD, served=OLD)
    slot.want(NEW)
    slot.crashed("dead", 1000.0)
    tried = []
    for _ in range(3):
        tried.append(slot.next)
        slot.failed(FAILURE)
    assert tried == [OLD, NEW, OLD]
    slot.reached(SERVED)
    wanted = replace(_loaded(OLD), target_digest=NEW.digest, target_state=LoadState.PENDING)
    assert slot.view() == wanted


@pytest.mark.parametrize(
    "another_start",
    [
        pytest.param(lambda slot: slot.want(NEW), id="another-version"),
        pytest.param(lambda slot: slot.lost(), id="another-triton"),
    ],
)
def test_a_new_start_forgets_crashes(another_start: Callable[[Slot], None]) -> None:
    slot = _slot(wanted=OLD, served=OLD)
    for instant in (1000.0, 1001.0, 1002.0):
        slot.reached(SERVED)
        slot.crashed("dead", instant)
    another_start(slot)
    assert slot.rest(1002.0) == 0
    assert slot.next == slot.wanted
    assert slot.view() == HeldModel(name="m", state=LoadState.PENDING)


async def test_a_crash_cuts_fetching_short() -> None:
    slot = _slot(wanted=OLD, served=OLD)
    slot.want(NEW)
    fetching = asyncio.create_task(slot.unless_superseded(asyncio.Event().wait()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert slot.idle
    slot.crashed("dead", 1000.0)
    with pytest.raises(SupersededError):
        await fetching


def test_what_is_not_wanted_is_unloading() -> None:
    slot = _slot(wanted=OLD, served=OLD)
    slot.want(None)
    assert slot.view() == HeldModel(name="m", state=LoadState.UNLOADING)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        pytest.param(OLD, True, id="equal"),
        pytest.param(replace(OLD, key="b" * 64, memory=9), True, id="same-bytes-and-settings"),
        pytest.param(NEW, False, id="other-bytes"),
        pytest.param(replace(OLD, config=ServingConfig(instances=2)), False, id="other-settings"),
    ],
)
def test_identity_is_bytes_and_settings(*, other: ModelAssignment, same: bool) -> None:
    assert (identity(other) == identity(OLD)) is same


async def test_waiting_ends_when_something_else_is_wanted() -> None:
    slot = _slot(wanted=OLD)
    waiting = asyncio.create_task(slot.unless_superseded(asyncio.Event().wait()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    slot.want(NEW)
    with pytest.raises(SupersededError):
        await waiting


async def test_waiting_goes_on_when_the_same_is_wanted_again() -> None:
    slot = _slot(wanted=OLD)
    event = asyncio.Event()
    waiting = asyncio.create_task(slot.unless_superseded(event.wait()))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    slot.want(OLD)
    event.set()
    assert await waiting


async def test_the_end_of_the_agent_ends_the_work_too() -> None:
    slot = _slot(wanted=OLD)
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    waiting = asyncio.create_task(slot.unless_superseded(work()))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(ended.wait(), 5)
