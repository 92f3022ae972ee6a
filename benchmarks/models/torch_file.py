"""Reads the tensors of a PyTorch state dict without PyTorch, and runs nothing that it holds.

Formats: the zip archive of PyTorch 1.6 and later, and the row of pickles that came before it
(`torch/serialization.py`). The pickles may name tensors, storages and ordered dicts only.
"""

import collections
import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]

_MAGIC = 0x1950A86A20F9469CFC6C
_DTYPES = {"FloatStorage": np.float32, "LongStorage": np.int64}


class _Storage:
    """A flat array whose content may come later."""

    def __init__(self, dtype: type[np.generic], size: int) -> None:
        self.values = np.zeros(size, dtype)

    def fill(self, data: bytes) -> None:
        self.values[:] = np.frombuffer(data, self.values.dtype)


def _view(
    storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: object
) -> Array:
    """`torch._utils._rebuild_tensor_v2`: a tensor is a view into its storage."""
    values = storage.values[offset:]
    steps = tuple(step * values.itemsize for step in strides)
    return np.lib.stride_tricks.as_strided(values, shape, steps, writeable=False)


class _Unpickler(pickle.Unpickler):
    """Knows the names that a state dict of floats and integers needs, and refuses all others."""

    def __init__(self, file: BinaryIO, storage: Callable[[str, _Storage], _Storage]) -> None:
        super().__init__(file)
        self._storage = storage

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 (pickle's signature)
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _view
        if module == "torch" and name in _DTYPES:
            return _DTYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name} has no place in a state dict")

    def persistent_load(self, pid: Any) -> _Storage:  # noqa: ANN401 (pickle's signature)
        _, dtype, key, _, size, *_ = pid
        return self._storage(key, _Storage(dtype, size))


def read(path: Path) -> dict[str, Array]:
    """The tensors by name.

    Raises:
        pickle.UnpicklingError: the file holds something else than a state dict.
    """
    tensors = _read_zip(path) if zipfile.is_zipfile(path) else _read_row(path)
    return {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}


def _read_zip(path: Path) -> dict[str, Array]:
    with zipfile.ZipFile(path) as archive:
        folder = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        folder = folder.removesuffix("data.pkl")

        def filled(key: str, storage: _Storage) -> _Storage:
            storage.fill(archive.read(f"{folder}data/{key}"))
            return storage

        pickled = io.BytesIO(archive.read(f"{folder}data.pkl"))
        return dict(_Unpickler(pickled, filled).load())


def _read_row(path: Path) -> dict[str, Array]:
    """Magic number, version, machine, the dict, the storages' keys, then sizes and contents."""
    storages: dict[str, _Storage] = {}
    with path.open("rb") as file:

        def load() -> Any:  # noqa: ANN401 (whatever comes next)
            return _Unpickler(file, storages.setdefault).load()

        if load() != _MAGIC:
            raise pickle.UnpicklingError(f"{path.name} is no PyTorch file")
        load(), load()
        tensors = load()
        for key in load():
            (size,) = struct.unpack("<q", file.read(8))
            storages[key].fill(file.read(size * storages[key].values.itemsize))
        return dict(tensors)
