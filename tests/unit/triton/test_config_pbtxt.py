"""config.pbtxt: what is read comes back, what a user wrote stays, what is missing is filled."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import model_config_pb2

from tightship.api.agent import ServingConfig
from tightship.triton.config_pbtxt import (
    ConfigError,
    Contract,
    Tensor,
    caches_responses,
    complete,
    effective_config,
    identity,
    instances,
    max_batch_size,
    overlay,
    parse,
    render,
    without_cache,
)

CONTRACT = Contract(
    backend="onnxruntime",
    max_batch_size=8,
    inputs=(Tensor("x", "TYPE_FP32", (4,)),),
    outputs=(Tensor("label", "TYPE_INT64", ()), Tensor("scores", "TYPE_FP32", (10,))),
)

_text = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
_dims = st.lists(st.integers(-1, 2**40), max_size=3)


@st.composite
def _tensors(draw: st.DrawFn) -> dict[str, Any]:
    types = list(model_config_pb2.DataType.values())
    return {
        "name": draw(_text),
        "data_type": draw(st.sampled_from(types)),
        "dims": draw(_dims),
    }


@st.composite
def configs(draw: st.DrawFn) -> Any:  # noqa: ANN401 (protobuf)
    """Configurations as users write them, and stranger ones."""
    config = model_config_pb2.ModelConfig(
        name=draw(_text),
        backend=draw(st.sampled_from(["", "onnxruntime", "python"])),
        max_batch_size=draw(st.integers(0, 2**31 - 1)),
        input=draw(st.lists(_tensors(), max_size=3)),
        output=draw(st.lists(_tensors(), max_size=3)),
    )
    for count in draw(st.lists(st.integers(0, 8), max_size=2)):
        config.instance_group.add(count=count, kind=draw(st.integers(0, 3)))
    match draw(st.sampled_from(["", "dynamic", "sequence"])):
        case "dynamic":
            config.dynamic_batching.max_queue_delay_microseconds = draw(st.integers(0, 2**63))
        case "sequence":
            config.sequence_batching.max_sequence_idle_microseconds = draw(st.integers(0, 2**63))
    if draw(st.booleans()):
        config.response_cache.enable = draw(st.booleans())
    for key, value in draw(st.dictionaries(_text, _text, max_size=3)).items():
        config.parameters[key].string_value = value
    return config


_servings = st.builds(
    ServingConfig,
    instances=st.integers(1, 64),
    dynamic_batching=st.booleans(),
    max_queue_delay_us=st.integers(0, 10**7),
    response_cache=st.booleans(),
)


@given(configs())
def test_what_is_written_is_read_again(config: Any) -> None:  # noqa: ANN401 (protobuf)
    assert parse(render(config)) == config


@given(configs(), _servings)
def test_an_overlay_takes_nothing_away(
    config: Any,  # noqa: ANN401 (protobuf)
    serving: ServingConfig,
) -> None:
    written = parse(effective_config(render(config), "model", serving))
    assert written.name == "model"
    assert written.instance_group
    for field, _ in config.ListFields():
        if field.name not in ("name", "parameters"):
            assert getattr(written, field.name) == getattr(config, field.name)
    assert all(written.parameters[key] == value for key, value in config.parameters.items())


@given(configs(), _servings)
def test_an_overlay_of_an_overlay_changes_nothing(
    config: Any,  # noqa: ANN401 (protobuf)
    serving: ServingConfig,
) -> None:
    once = effective_config(render(config), "model", serving)
    assert effective_config(once, "model", serving) == once


@given(configs())
def test_completing_takes_nothing_away(config: Any) -> None:  # noqa: ANN401 (protobuf)
    completed = complete(render(config), "model", CONTRACT)
    written = parse(completed.text)
    for field, _ in config.ListFields():
        if field.name != "name":
            assert field.name not in completed.filled
            assert getattr(written, field.name) == getattr(config, field.name)


def test_an_absent_file_is_written_from_the_model() -> None:
    completed = complete(None, "model", CONTRACT)
    config = parse(completed.text)
    assert completed.filled == ("name", "backend", "max_batch_size", "input", "output")
    assert (config.name, config.backend, config.max_batch_size) == ("model", "onnxruntime", 8)
    assert [list(tensor.dims) for tensor in config.output] == [[1], [10]]


def test_a_batched_scalar_is_one_element_reshaped_to_none() -> None:
    label = parse(complete(None, "model", CONTRACT).text).output[0]
    assert list(label.dims) == [1]
    assert label.HasField("reshape")
    assert list(label.reshape.shape) == []


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        pytest.param('name: "model"', ("backend", "max_batch_size", "input", "output"), id="name"),
        pytest.param(
            'platform: "onnxruntime_onnx"',
            ("name", "max_batch_size", "input", "output"),
            id="platform-instead-of-backend",
        ),
        pytest.param(
            'input [{ name: "x" data_type: TYPE_FP32 dims: [2, 4] }]',
            ("name", "backend", "output"),
            id="described-without-batch",
        ),
        pytest.param(
            'backend: "python" max_batch_size: 2',
            ("name", "input", "output"),
            id="users-batch-size",
        ),
    ],
)
def test_only_what_is_missing_is_filled(text: str, filled: tuple[str, ...]) -> None:
    assert complete(text, "model", CONTRACT).filled == filled


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        pytest.param("", (), id="nothing"),
        pytest.param("instance_group [{ count: 3 }]", ("instance_group",), id="instances"),
        pytest.param("dynamic_batching { }", ("dynamic_batching",), id="batching"),
        pytest.param("sequence_batching { }", ("dynamic_batching",), id="sequences"),
        pytest.param("response_cache { enable: false }", ("response_cache",), id="cache-off"),
    ],
)
def test_what_a_user_set_wins(text: str, kept: tuple[str, ...]) -> None:
    serving = ServingConfig(instances=2, max_queue_delay_us=500, response_cache=True)
    written = overlay(f"max_batch_size: 8 {text}", "model", serving)
    config = parse(written.text)
    assert written.kept == kept
    users = "instance_group" in kept
    assert [group.count for group in config.instance_group] == [3 if users else 2]
    delay = config.dynamic_batching.max_queue_delay_microseconds
    assert delay == (0 if "dynamic_batching" in kept else 500)
    assert config.response_cache.enable is ("response_cache" not in kept)


@pytest.mark.parametrize(
    ("batch", "wanted", "batches"),
    [(8, True, True), (8, False, False), (1, True, False), (0, True, False)],
)
def test_dynamic_batching_needs_a_batch(*, batch: int, wanted: bool, batches: bool) -> None:
    serving = ServingConfig(dynamic_batching=wanted)
    config = parse(effective_config(f"max_batch_size: {batch}", "model", serving))
    assert config.HasField("dynamic_batching") is batches


def test_another_version_folder_gets_a_policy_that_finds_it() -> None:
    written = overlay(
        "version_policy { specific { versions: [1] } }", "m", ServingConfig(), version=7
    )
    policy = parse(written.text).version_policy
    assert policy.HasField("latest")
    assert policy.latest.num_versions == 1


def test_identity_is_a_parameter() -> None:
    config = parse(overlay("", "m", ServingConfig(), identity="abc").text)
    served = {
        "parameters": {k: {"string_value": v.string_value} for k, v in config.parameters.items()}
    }
    assert identity(served) == "abc"
    assert identity({}) is None


def test_questions_to_a_config() -> None:
    text = "max_batch_size: 4 response_cache { enable: true }"
    assert max_batch_size(text) == 4
    assert caches_responses(text)
    assert not caches_responses(without_cache(text))


@pytest.mark.parametrize(
    "text", ["max_batch_size: many", "no_such_field: 1", "input {", "\x00"], ids=repr
)
def test_what_triton_would_not_take_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.pbtxt cannot be read"):
        parse(text)


@pytest.mark.parametrize(
    ("groups", "count"),
    [
        pytest.param([], 1, id="none-said"),
        pytest.param([{"count": 3, "kind": "KIND_CPU", "gpus": []}], 3, id="on-cpu"),
        pytest.param([{"count": 2, "gpus": [0, 1]}], 4, id="on-each-of-two-devices"),
        pytest.param([{"count": 2}, {"count": 1}], 3, id="two-groups"),
    ],
)
def test_instances_are_counted(groups: list[dict[str, Any]], count: int) -> None:
    assert instances({"instance_group": groups}) == count
