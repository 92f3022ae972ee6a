"""Data files: hostile .npz refused, samples chosen, plain arrays in a folder for the children."""

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from tightship.api.v1alpha1 import Metric
from tightship.optimize.budget import Budget
from tightship.optimize.contract import STRING, Contract, Tensor
from tightship.optimize.failures import Reason, RefusalError

LABELS = "labels"
CHARSET = "charset"  # of a text recogniser: the text of each class, empty for the blank
_INDEX = "index.json"
_LABELS_FILE = "labels.npy"
_HEADER_MAX = 64 * 1024
_ENCRYPTED = 0x1
FORMAT = "Write it with numpy.savez(FILE, INPUT=array, ..., labels=array)."

Arrays = Mapping[str, np.ndarray]


def invalid(what: str, message: str) -> RefusalError:
    """A refusal of the data file called `what`."""
    return RefusalError(Reason.DATA_INVALID, f"The {what} data {message}")


@dataclass(frozen=True, slots=True)
class Dataset:
    """Samples by input name, first axis the sample; labels, and a charset, of evaluation data."""

    arrays: Arrays
    labels: np.ndarray | None = None
    charset: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values()))) if self.arrays else 0

    @property
    def bytes(self) -> int:
        """Size of the arrays, which is what `save` writes."""
        return sum(array.nbytes for array in self.arrays.values())

    def save(self, folder: Path) -> None:
        """Write one .npy for each array, whatever the inputs' names are."""
        folder.mkdir(parents=True, exist_ok=True)
        files = {name: f"{number}.npy" for number, name in enumerate(self.arrays)}
        for name, array in self.arrays.items():
            np.save(folder / files[name], np.ascontiguousarray(array), allow_pickle=False)
        if self.labels is not None:
            np.save(folder / _LABELS_FILE, self.labels, allow_pickle=False)
        index = {"arrays": files, "labels": self.labels is not None, "charset": self.charset}
        (folder / _INDEX).write_text(json.dumps(index))

    @classmethod
    def load(cls, folder: Path) -> "Dataset":
        """Map what `save` wrote into memory, read-only."""
        index = json.loads((folder / _INDEX).read_text())
        arrays = {name: _mapped(folder / file) for name, file in index["arrays"].items()}
        labels = _mapped(folder / _LABELS_FILE) if index["labels"] else None
        charset = None if index["charset"] is None else tuple(index["charset"])
        return cls(arrays, labels, charset)


def _mapped(file: Path) -> np.ndarray:
    array: np.ndarray = np.load(file, mmap_mode="r", allow_pickle=False)
    return array


def read(file: Path, what: str, budget: Budget) -> dict[str, np.ndarray]:
    """The arrays of an .npz file, checked before they are unpacked.

    Raises:
        RefusalError: no .npz, pickles inside, damaged, or larger than the budget.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            _check_members(archive, what, budget)
            return {
                name.removesuffix(".npy"): _array(archive, name, what)
                for name in archive.namelist()
            }
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        raise invalid(what, f"are no readable .npz file ({error}). {FORMAT}") from error


def _check_members(archive: zipfile.ZipFile, what: str, budget: Budget) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    if not members or len(members) > budget.max_data_arrays or len(set(names)) < len(names):
        raise invalid(
            what, f"hold {len(members)} arrays; 1 to {budget.max_data_arrays} with distinct names"
        )
    odd = [name for name in names if not name.endswith(".npy")]
    if odd:
        raise invalid(what, f"hold '{odd[0][:60]}', which is no .npy array. {FORMAT}")
    if any(member.flag_bits & _ENCRYPTED for member in members):
        raise invalid(what, f"are encrypted. {FORMAT}")
    total = sum(member.file_size for member in members)
    if total > budget.max_data_bytes:
        limit = budget.max_data_bytes
        raise invalid(what, f"unpack to {total} bytes; the limit is {limit}. Give fewer samples.")


def _array(archive: zipfile.ZipFile, name: str, what: str) -> np.ndarray:
    size = archive.getinfo(name).file_size
    with archive.open(name) as stream:
        shape, dtype = _header(stream, name, what)
        claimed = math.prod(shape) * dtype.itemsize
        if claimed != size - stream.tell():
            raise invalid(
                what,
                f"are damaged: '{name}' claims {claimed} bytes, brings {size - stream.tell()}.",
            )
    with archive.open(name) as stream:
        array: np.ndarray = npy.read_array(stream, allow_pickle=False, max_header_size=_HEADER_MAX)
        return array


def _header(stream: IO[bytes], name: str, what: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    try:
        version = npy.read_magic(stream)
        reader = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, _, dtype = reader(stream, max_header_size=_HEADER_MAX)
    except ValueError as error:
        raise invalid(what, f"are damaged: '{name}' has no array header. {FORMAT}") from error
    if dtype.hasobject or dtype.names:
        raise invalid(
            what,
            f"hold '{name}' as Python objects, which would have to be unpickled. Use plain "
            "numbers, "
            "or fixed-width text (dtype U or S).",
        )
    return shape, dtype


def match(contract: Contract, arrays: Arrays, what: str) -> Dataset:
    """The arrays as the model's inputs, with the model's dtypes and shapes.

    Raises:
        RefusalError: an array is missing, of another kind or shape, or the lengths differ.
    """
    names = {tensor.name for tensor in contract.inputs}
    missing = sorted(names - set(arrays))
    extra = sorted(set(arrays) - names - {LABELS, CHARSET})
    if missing or extra:
        difference = (
            f"lack {missing}" if missing else f"hold {extra}, which the model does not take"
        )
        raise invalid(what, f"{difference}. The model's inputs are {sorted(names)}.")
    fitted = {t.name: _fit(contract, t, arrays[t.name], what) for t in contract.inputs}
    lengths = {name: len(array) for name, array in fitted.items()}
    if LABELS in arrays:
        lengths[LABELS] = len(arrays[LABELS]) if arrays[LABELS].ndim else 0
    if len(set(lengths.values())) != 1 or not max(lengths.values()):
        raise invalid(what, f"have arrays of different or no length: {lengths}.")
    charset = None if CHARSET in names else arrays.get(CHARSET)
    return Dataset(fitted, arrays.get(LABELS), None if charset is None else _charset(charset, what))


def _charset(array: np.ndarray, what: str) -> tuple[str, ...]:
    if array.ndim != 1 or array.dtype.kind not in "US":
        raise invalid(
            what,
            f"hold a charset of dtype {array.dtype} and {array.ndim} axes; give the text of each "
            "of the model's classes as fixed-width text (dtype U or S), empty for the blank.",
        )
    try:
        text = np.char.decode(array, "utf-8") if array.dtype.kind == "S" else array
        return tuple(text.tolist())
    except UnicodeDecodeError as error:
        raise invalid(what, f"hold a charset that is no UTF-8 ({error}).") from error


def _fit(contract: Contract, tensor: Tensor, array: np.ndarray, what: str) -> np.ndarray:
    wanted = contract.sample_dims(tensor)
    if array.ndim == 0:
        raise invalid(what, f"hold '{tensor.name}' as one number; the first axis is the sample.")
    lone = not contract.batched and wanted[:1] in ((1,), (None,))
    if lone and _agrees(array.shape[1:], wanted[1:]):
        array = array[:, np.newaxis]
    if not _agrees(array.shape[1:], wanted):
        shown = [dim if dim is not None else "any" for dim in wanted]
        raise invalid(
            what,
            f"hold '{tensor.name}' with samples of shape {list(array.shape[1:])}; the model takes "
            f"{shown}. The first axis of each array is the sample.",
        )
    return _cast(tensor, array, what)


def _agrees(shape: tuple[int, ...], dims: tuple[int | None, ...]) -> bool:
    return len(shape) == len(dims) and all(
        dim is None or dim == size for dim, size in zip(dims, shape, strict=True)
    )


def _cast(tensor: Tensor, array: np.ndarray, what: str) -> np.ndarray:
    if tensor.dtype == STRING:
        if array.dtype.kind not in "US":
            raise invalid(what, f"hold '{tensor.name}' as {array.dtype}; the model takes text.")
        return array
    wanted = np.dtype(tensor.dtype)
    with np.errstate(all="ignore"):
        cast = array.astype(wanted) if np.can_cast(array.dtype, wanted, "same_kind") else None
    if cast is None or (wanted.kind in "iu" and not np.array_equal(cast, array)):
        raise invalid(
            what, f"hold '{tensor.name}' as {array.dtype}; the model takes {tensor.dtype}."
        )
    if cast.dtype.kind == "f" and not np.isfinite(cast).all():
        raise invalid(what, f"hold values in '{tensor.name}' that are not finite.")
    return cast


def chosen_rows(
    labels: np.ndarray | None, count: int, limit: int, metric: Metric | None
) -> np.ndarray:
    """Which of `count` samples to take: evenly spaced, because files are often sorted by class.

    For mrr, queries are taken in order together with their matches; free places go to the others.
    """
    if count <= limit:
        return np.arange(count)
    if metric is not Metric.MRR or labels is None:
        return np.linspace(0, count - 1, limit).round().astype(np.int64)
    kept: dict[int, None] = {}
    for query in np.flatnonzero(labels >= 0):
        pair = {int(query): None, int(labels[query]): None}
        if len(kept | pair) > limit:
            break
        kept |= pair
    others = [row for row in range(count) if row not in kept and labels[row] < 0]
    return np.array(sorted([*kept, *others[: limit - len(kept)]]), np.int64)


def subset(dataset: Dataset, rows: np.ndarray, metric: Metric | None = None) -> Dataset:
    """These samples; labels of mrr point to the new places, or are -1 where the match is out."""
    arrays = {name: array[rows] for name, array in dataset.arrays.items()}
    labels = None if dataset.labels is None else dataset.labels[rows]
    if metric is Metric.MRR and labels is not None:
        place = {int(row): index for index, row in enumerate(rows)}
        labels = np.array([place.get(int(label), -1) for label in labels], np.int64)
    return Dataset(arrays, labels, dataset.charset)
