"""Judges the body of a PUT: nothing of it becomes a path or a number before it was looked at."""

import json
import re
from collections.abc import Iterator

from tightship.api import names
from tightship.api.agent import AssignmentRequest, ModelAssignment

_HEX = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(names.MODEL_NAME_PATTERN)
_INSTANCES_MAX = 64
_DELAY_MAX_US = 10_000_000
_RATE_MAX = 1_000_000
_SAMPLES_MAX = 1_000_000


class BadRequestError(ValueError):
    """A request that the agent does not take; the text says what is wrong with it."""


def read_request(body: bytes) -> AssignmentRequest:
    """Reads and judges an assignment request.

    Raises:
        BadRequestError: a value is missing, unknown, of the wrong type or out of bounds.
    """
    try:
        request = AssignmentRequest.from_json(json.loads(body))
    except (ValueError, TypeError, AttributeError) as error:
        raise BadRequestError(f"the body is not an assignment request: {error}") from error
    wrong = next(_wrong(request), None)
    if wrong is not None:
        raise BadRequestError(wrong)
    return request


def _wrong(request: AssignmentRequest) -> Iterator[str]:
    fence = request.fence
    if not (_whole(fence.transitions, 0, None) and _whole(fence.counter, 0, None)):
        yield "the fence must be two whole numbers"
    models = request.assignment.models
    for model in models:
        yield from _wrong_model(model)
    if len({model.name for model in models}) != len(models):
        yield "a model is named twice"


def _wrong_model(model: ModelAssignment) -> Iterator[str]:
    if not _text(model.name, _NAME) or len(model.name) > names.MODEL_NAME_MAX:
        yield "a model's name must be a DNS label of at most 40 characters"
        return
    for field in ("key", "digest"):
        if not _text(getattr(model, field), _HEX):
            yield f"{field} of '{model.name}' must be 64 hexadecimal digits in lower case"
    config = model.config
    if not _whole(model.memory, 0, None):
        yield f"memory of '{model.name}' must be a whole number of bytes"
    if not _whole(config.instances, 1, _INSTANCES_MAX):
        yield f"instances of '{model.name}' must be 1 to {_INSTANCES_MAX}"
    if not _whole(config.max_queue_delay_us, 0, _DELAY_MAX_US):
        yield f"max_queue_delay_us of '{model.name}' must be 0 to {_DELAY_MAX_US}"
    switches: tuple[object, ...] = (config.dynamic_batching, config.response_cache)
    if not all(isinstance(switch, bool) for switch in switches):
        yield f"dynamic_batching and response_cache of '{model.name}' must be true or false"

    if model.drift and not (
        _whole(model.drift.rate, 1, _RATE_MAX) and _whole(model.drift.samples, 1, _SAMPLES_MAX)
    ):
        yield f"rate and samples of the drift of '{model.name}' must be whole numbers from 1 on"


def _text(value: object, pattern: re.Pattern[str]) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _whole(value: object, least: int, most: int | None) -> bool:
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return value >= least and (most is None or value <= most)
