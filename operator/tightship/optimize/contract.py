"""A model's contract: inputs, outputs, whether there is a batch axis, and what it is made of."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

STRING = "string"
ROWS_INTERACT = "a row's answer depends on the other rows of its batch: not batched"
RANDOM = (
    "the model's answers are random: it answers the same request otherwise each time, so it is not "
    "batched, and nothing can be compared with it"
)

# ONNX Runtime's type -> numpy's name, and -> Triton's name without TYPE_.
_TYPES: Mapping[str, tuple[str, str]] = {
    "tensor(float)": ("float32", "FP32"),
    "tensor(double)": ("float64", "FP64"),
    "tensor(float16)": ("float16", "FP16"),
    "tensor(int8)": ("int8", "INT8"),
    "tensor(int16)": ("int16", "INT16"),
    "tensor(int32)": ("int32", "INT32"),
    "tensor(int64)": ("int64", "INT64"),
    "tensor(uint8)": ("uint8", "UINT8"),
    "tensor(uint16)": ("uint16", "UINT16"),
    "tensor(uint32)": ("uint32", "UINT32"),
    "tensor(uint64)": ("uint64", "UINT64"),
    "tensor(bool)": ("bool", "BOOL"),
    "tensor(string)": (STRING, "STRING"),
}
_TRITON = dict(_TYPES.values())


def numpy_type(runtime_type: str) -> str | None:
    """The numpy name of an ONNX Runtime tensor type; None for what cannot be served."""
    known = _TYPES.get(runtime_type)
    return known[0] if known else None


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output. `dims` are the model's own, None where they may vary."""

    name: str
    dtype: str  # numpy's name, or "string"
    dims: tuple[int | None, ...]

    @property
    def triton_type(self) -> str:
        """Triton's data type, as in config.pbtxt."""
        return f"TYPE_{_TRITON[self.dtype]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What clients may rely on, found by running the model.

    A batched model answers each row of a batch as it answers the row alone; `max_batch` is the
    largest batch that was run. An unbatched one has max_batch 0 and takes exactly its own shapes.

    Of the convolutions and matrix products with constant fp32 weights in the main graph: how many
    there are (`weighted`), how many of them are depthwise convolutions, and the bytes that the
    weights of the MatMul among them take.
    """

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    max_batch: int
    opset: int
    nodes: int
    parameters: int
    bytes: int
    operators: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    weighted: int = 0
    depthwise: int = 0
    product_bytes: int = 0

    @property
    def batched(self) -> bool:
        """Whether the first axis of every input and output is the batch."""
        return self.max_batch > 0

    @property
    def rows_interact(self) -> bool:
        """Whether it takes batches, but answers a row otherwise in another batch."""
        return ROWS_INTERACT in self.notes

    @property
    def random(self) -> bool:
        """Whether the same request is answered otherwise each time."""
        return RANDOM in self.notes

    @property
    def strings(self) -> bool:
        """Whether an input holds text."""
        return any(tensor.dtype == STRING for tensor in self.inputs)

    def sample_dims(self, tensor: Tensor) -> tuple[int | None, ...]:
        """The shape of one sample: without the batch axis where the model has one."""
        return tensor.dims[1:] if self.batched else tensor.dims

    def to_json(self) -> dict[str, Any]:
        """JSON value."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> "Contract":
        """Reads what `to_json` wrote."""
        return cls(
            **{
                **raw,
                "inputs": tuple(_tensor(item) for item in raw["inputs"]),
                "outputs": tuple(_tensor(item) for item in raw["outputs"]),
                "notes": tuple(raw["notes"]),
            }
        )


def _tensor(raw: Mapping[str, Any]) -> Tensor:
    return Tensor(raw["name"], raw["dtype"], tuple(raw["dims"]))
