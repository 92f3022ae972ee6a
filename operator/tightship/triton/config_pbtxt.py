"""config.pbtxt: reads a user's, completes what is missing, overlays what the planner decides.

The rules of who wins are in docs/design/agent.md: what a file says stays, except the name, which
Triton ties to the folder.
"""

from dataclasses import dataclass
from typing import Any

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from tightship.api.agent import ServingConfig

IDENTITY_PARAMETER = "tightship_identity"
"""Parameter of the effective configuration by which a served model tells which artifact it is."""

_SCHEDULERS = ("dynamic_batching", "sequence_batching", "ensemble_scheduling")

ModelConfig = Any
"""Triton's generated protobuf message `inference.ModelConfig`, which has no type information."""


class ConfigError(ValueError):
    """A config.pbtxt that Triton would not take; the text says what to change."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """An input or output: Triton's data type (TYPE_FP32) and dims without the batch axis."""

    name: str
    data_type: str
    dims: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What the model file itself says."""

    backend: str
    max_batch_size: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True, slots=True)
class Completed:
    """A user's configuration with the gaps closed: the text, and the fields that were filled."""

    text: str
    filled: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overlay:
    """An effective configuration, and the fields where the user's own setting stays in force."""

    text: str
    kept: tuple[str, ...]


def parse(text: str) -> ModelConfig:
    """Reads config.pbtxt.

    Raises:
        ConfigError: it is not protobuf text, or has a field that this version does not know.
    """
    try:
        return text_format.Parse(text, model_config_pb2.ModelConfig())
    except text_format.ParseError as error:
        raise ConfigError(f"config.pbtxt cannot be read: {error}") from error


def render(config: ModelConfig) -> str:
    """The text of a configuration; `parse` gives an equal one back."""
    return str(text_format.MessageToString(config))


def max_batch_size(text: str) -> int:
    """The greatest batch that the configuration allows; 0 means that there is no batch axis.

    Raises:
        ConfigError: the text cannot be read.
    """
    return int(parse(text).max_batch_size)


def complete(text: str | None, name: str, contract: Contract) -> Completed:
    """The user's configuration with what is missing filled in from the model file.

    Filled where absent: backend (unless a platform is named), max_batch_size (unless a batch-less
    model is described by its inputs), inputs and outputs as whole lists. A batched scalar becomes
    `dims: [1] reshape { shape: [] }`, which is how Triton wants it.

    Raises:
        ConfigError: the text cannot be read.
    """
    config = parse(text or "")
    described = bool(config.input)
    filled = []
    if config.name != name:
        filled.append("name")
        config.name = name
    if not (config.backend or config.platform):
        filled.append("backend")
        config.backend = contract.backend
    if not described and not config.max_batch_size and contract.max_batch_size:
        filled.append("max_batch_size")
        config.max_batch_size = contract.max_batch_size
    for field, tensors in (("input", contract.inputs), ("output", contract.outputs)):
        if not getattr(config, field):
            filled.append(field)
            _add_tensors(getattr(config, field), tensors)
    return Completed(render(config), tuple(filled))


def effective_config(text: str, name: str, serving: ServingConfig) -> str:
    """The configuration that Triton gets for this model under this name.

    Raises:
        ConfigError: the text cannot be read.
    """
    return overlay(text, name, serving).text


def overlay(
    text: str, name: str, serving: ServingConfig, *, version: int = 1, identity: str = ""
) -> Overlay:
    """As effective_config, and tells which of the user's settings were kept.

    `version` is the number of the version folder; another than 1 gets a version policy that
    finds it. `identity` is written as the parameter IDENTITY_PARAMETER.

    Raises:
        ConfigError: the text cannot be read.
    """
    config = parse(text)
    config.name = name
    users = {
        "instance_group": bool(config.instance_group),
        "dynamic_batching": any(config.HasField(field) for field in _SCHEDULERS),
        "response_cache": config.HasField("response_cache"),
    }
    if not users["instance_group"]:
        # Without a kind Triton takes the device where there is one: one text for CPU and GPU.
        config.instance_group.add(count=serving.instances)
    if not users["dynamic_batching"] and serving.dynamic_batching and config.max_batch_size > 1:
        config.dynamic_batching.SetInParent()
        if serving.max_queue_delay_us:
            config.dynamic_batching.max_queue_delay_microseconds = serving.max_queue_delay_us
    if not users["response_cache"] and serving.response_cache:
        config.response_cache.enable = True
    if version != 1:
        config.version_policy.latest.num_versions = 1
    if identity:
        config.parameters[IDENTITY_PARAMETER].string_value = identity
    return Overlay(render(config), tuple(field for field, is_users in users.items() if is_users))


def caches_responses(text: str) -> bool:
    """Whether the configuration switches Triton's response cache on.

    Raises:
        ConfigError: the text cannot be read.
    """
    return bool(parse(text).response_cache.enable)


def without_cache(text: str) -> str:
    """The configuration with the response cache off, so that every answer is computed.

    Raises:
        ConfigError: the text cannot be read.
    """
    config = parse(text)
    config.ClearField("response_cache")
    return render(config)


def identity(served: dict[str, Any]) -> str | None:
    """The identity in a configuration as Triton's API reports it; None where there is none."""
    parameter = served.get("parameters", {}).get(IDENTITY_PARAMETER)
    return None if parameter is None else str(parameter["string_value"])


def instances(served: dict[str, Any]) -> int:
    """How many instances a configuration as Triton's API reports it makes of the model."""
    groups = served.get("instance_group", ())
    count = sum(int(g.get("count", 1)) * max(1, len(g.get("gpus", ()))) for g in groups)
    return max(1, count)


def _add_tensors(field: Any, tensors: tuple[Tensor, ...]) -> None:  # noqa: ANN401 (protobuf)
    for tensor in tensors:
        entry = field.add(
            name=tensor.name,
            data_type=model_config_pb2.DataType.Value(tensor.data_type),
            dims=tensor.dims or (1,),
        )
        if not tensor.dims:
            entry.reshape.SetInParent()
