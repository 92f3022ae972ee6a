"""config.pbtxt of the artifact: a user's own is completed, otherwise it follows the contract."""

from dataclasses import dataclass, replace
from pathlib import Path

from tightship.optimize import tensorrt
from tightship.optimize.contract import Contract, Tensor
from tightship.optimize.engine import ONNXRUNTIME, OPENVINO, Engine, Executable
from tightship.optimize.failures import Reason, RefusalError
from tightship.triton import config_pbtxt

MODEL_NAME = "model"  # in the artifact; servers give the model its own name
_PLATFORMS = ("", "onnxruntime_onnx")
_CONFIG_MAX = 1 << 20


def user_config(file: Path | None) -> str | None:
    """The user's config.pbtxt.

    Raises:
        RefusalError: not readable as Triton's configuration, or for another backend.
    """
    if file is None:
        return None
    try:
        if file.stat().st_size > _CONFIG_MAX:
            raise _invalid(f"it has more than {_CONFIG_MAX} bytes")
        text = file.read_text(encoding="utf-8")
        config = config_pbtxt.parse(text)
    except (config_pbtxt.ConfigError, UnicodeDecodeError) as error:
        raise _invalid(str(error)) from error
    if config.backend not in ("", ONNXRUNTIME) or config.platform not in _PLATFORMS:
        named = config.backend or config.platform
        raise _invalid(f"it asks for '{named}'; only models of backend '{ONNXRUNTIME}' are taken")
    return text


def _invalid(why: str) -> RefusalError:
    return RefusalError(
        Reason.INVALID_CONFIG, f"config.pbtxt is not usable: {why}. Correct it, or leave it out."
    )


def reconciled(contract: Contract, config: str | None) -> tuple[Contract, tuple[str, ...]]:
    """The contract as it will be served: a user's batch size counts, where the model allows it.

    Raises:
        RefusalError: the configuration asks for batches that the model cannot take, or names
            inputs that it does not have.
    """
    if config is None:
        return contract, ()
    parsed = config_pbtxt.parse(config)
    _same_names("inputs", {entry.name for entry in parsed.input}, contract.inputs)
    _same_names("outputs", {entry.name for entry in parsed.output}, contract.outputs)
    wanted = int(parsed.max_batch_size)
    if not wanted and not parsed.input:
        return contract, ()
    if wanted > 0 and not contract.batched:
        raise _invalid(f"max_batch_size is {wanted}, but the model has no batch axis; set it to 0")
    if wanted == contract.max_batch:
        return contract, ()
    note = f"config.pbtxt sets max_batch_size {wanted}; the model itself ran {contract.max_batch}"
    return replace(contract, max_batch=wanted), (note,)


def _same_names(kind: str, configured: set[str], tensors: tuple[Tensor, ...]) -> None:
    unknown = sorted(configured - {tensor.name for tensor in tensors})
    if unknown:
        has = sorted(tensor.name for tensor in tensors)
        raise _invalid(f"it names the {kind} {unknown}, the model has {has}")


@dataclass(frozen=True, slots=True)
class ServingFile:
    """The artifact's config.pbtxt and which fields were filled in."""

    text: str
    filled: tuple[str, ...]


def completed(contract: Contract, config: str | None, threads: int) -> ServingFile:
    """The whole configuration: the user's fields stay, missing ones are filled.

    Raises:
        RefusalError: the text cannot be read.
    """
    described = config_pbtxt.Contract(
        backend=ONNXRUNTIME,
        max_batch_size=contract.max_batch,
        inputs=tuple(_described(contract, tensor) for tensor in contract.inputs),
        outputs=tuple(_described(contract, tensor) for tensor in contract.outputs),
    )
    try:
        done = config_pbtxt.complete(config, MODEL_NAME, described)
    except config_pbtxt.ConfigError as error:
        raise _invalid(str(error)) from error
    message = config_pbtxt.parse(done.text)
    filled = [*done.filled]
    for name, value in (("intra_op_thread_count", threads), ("inter_op_thread_count", 1)):
        if name not in message.parameters:
            message.parameters[name].string_value = str(value)
            filled.append(f"parameters.{name}")
    return ServingFile(config_pbtxt.render(message), tuple(filled))


def for_model(text: str, model: Executable, threads: int) -> str:
    """The original's configuration, changed to what the runtime of a candidate needs.

    Batching, instances and tensors stay. Parameters and graph optimization go: they are words of
    the runtime that the original was configured for.
    """
    if model.engine.accelerator:
        return _accelerated(text, model.engine)
    if model.engine.backend != OPENVINO:
        return text
    config = config_pbtxt.parse(text)
    config.backend = OPENVINO
    config.default_model_filename = model.file.name
    config.ClearField("platform")
    config.ClearField("optimization")
    config.parameters.clear()
    for name, value in (
        ("INFERENCE_PRECISION_HINT", model.engine.precision),
        ("INFERENCE_NUM_THREADS", str(threads)),
        ("PERFORMANCE_HINT", "LATENCY"),
    ):
        config.parameters[name].string_value = value
    return config_pbtxt.render(config)


def _accelerated(text: str, engine: Engine) -> str:
    """The original's configuration with an accelerator in front of ONNX Runtime's own kernels."""
    config = config_pbtxt.parse(text)
    accelerators = config.optimization.execution_accelerators
    del accelerators.gpu_execution_accelerator[:]
    found = accelerators.gpu_execution_accelerator.add(name=engine.accelerator)
    for name, value in tensorrt.parameters(engine.precision, engine.ranges).items():
        found.parameters[name] = value
    return config_pbtxt.render(config)


def client_shape(sample: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one sample as clients send it: Triton has no scalars, they are lists of one."""
    return sample or (1,)


def _described(contract: Contract, tensor: Tensor) -> config_pbtxt.Tensor:
    dims = tuple(-1 if dim is None else dim for dim in contract.sample_dims(tensor))
    return config_pbtxt.Tensor(tensor.name, tensor.triton_type, dims)
