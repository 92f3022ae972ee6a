"""A model's state as the API shows it: LOADED is said of nothing but what is verified."""

import asyncio
from dataclasses import replace

import pytest

from tightship.agent.failures import LOAD_FAILED, LoadingError
from tightship.agent.journal import Served
from tightship.agent.slot import Slot, SupersededError, identity
from tightship.api.agent import HeldModel, LoadState, ModelAssignment, ServingConfig

OLD = ModelAssignment(name="m", key="a" * 64, digest="1" * 64, memory=5, config=ServingConfig())
NEW = replace(OLD, digest="2" * 64)
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
