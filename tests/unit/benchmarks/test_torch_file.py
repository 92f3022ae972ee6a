import collections
import pickle
import struct
import sys
import types
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.models import torch_file

MAGIC, VERSION = 0x1950A86A20F9469CFC6C, 1001
WEIGHTS = np.arange(12, dtype=np.float32)


class Storage:
    """What PyTorch writes as a reference to numbers that lie elsewhere."""

    def __init__(self, key: str, values: np.ndarray) -> None:
        self.key, self.values = key, values


class Tensor:
    def __init__(self, *arguments: object) -> None:
        self.arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return sys.modules["torch._utils"]._rebuild_tensor_v2, self.arguments


class Pickler(pickle.Pickler):
    def persistent_id(self, obj: object) -> tuple[str, object, str, str, int] | None:
        if isinstance(obj, Storage):
            kind = {"f": "FloatStorage", "i": "LongStorage"}[obj.values.dtype.kind]
            named = getattr(sys.modules["torch"], kind)
            return ("storage", named, obj.key, "cpu", len(obj.values))
        return None


@pytest.fixture(autouse=True)
def torch_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of these names, so that pickle writes references to them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def rebuild() -> None:
        raise AssertionError("a reader must not call it")

    rebuild.__module__, rebuild.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    vars(utils)["_rebuild_tensor_v2"] = rebuild
    for kind in ("FloatStorage", "LongStorage"):
        vars(torch)[kind] = type(kind, (), {"__module__": "torch"})
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)


def pickled(value: object) -> bytes:
    file = BytesIO()
    Pickler(file, protocol=2).dump(value)
    return file.getvalue()


def state_dict() -> tuple[dict[str, Tensor], dict[str, np.ndarray]]:
    """A whole tensor, its transposed lower half, and a count."""
    storages: dict[str, np.ndarray] = {"0": WEIGHTS, "1": np.array([7], np.int64)}
    whole, count = Storage("0", storages["0"]), Storage("1", storages["1"])
    hooks: dict[str, Any] = collections.OrderedDict()
    return collections.OrderedDict(
        {
            "whole": Tensor(whole, 0, (3, 4), (4, 1), False, hooks),
            "turned": Tensor(whole, 4, (4, 2), (1, 4), False, hooks),
            "count": Tensor(count, 0, (), (), False, hooks),
        }
    ), storages


def written_zip(path: Path) -> None:
    tensors, storages = state_dict()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(tensors))
        for key, values in storages.items():
            archive.writestr(f"archive/data/{key}", values.tobytes())


def written_row(path: Path) -> None:
    tensors, storages = state_dict()
    parts = [pickled(part) for part in (MAGIC, VERSION, {}, tensors, list(storages))]
    parts += [struct.pack("<q", len(v)) + v.tobytes() for v in storages.values()]
    path.write_bytes(b"".join(parts))


@pytest.mark.parametrize("write", [written_zip, written_row])
def test_tensors_are_read_as_they_were_written(
    write: Callable[[Path], None], tmp_path: Path
) -> None:
    write(tmp_path / "weights.pth")
    found = torch_file.read(tmp_path / "weights.pth")
    assert list(found) == ["whole", "turned", "count"]
    np.testing.assert_array_equal(found["whole"], WEIGHTS.reshape(3, 4))
    np.testing.assert_array_equal(found["turned"], WEIGHTS[4:].reshape(2, 4).T)
    assert found["count"] == 7
    assert found["count"].dtype == np.int64


def test_whatever_is_no_tensor_is_refused_before_it_runs(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[Any, ...]:
            return exec, ("raise AssertionError('it ran')",)

    with zipfile.ZipFile(tmp_path / "weights.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickled({"weight": Hostile()}))
    with pytest.raises(pickle.UnpicklingError, match=r"__builtin__\.exec has no place"):
        torch_file.read(tmp_path / "weights.pth")


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(pickled(1))
    with pytest.raises(pickle.UnpicklingError, match=r"weights\.pth is no PyTorch file"):
        torch_file.read(tmp_path / "weights.pth")
