"""Magika: the file-type model of the package of that name, on files whose type is known.

The files come from the packages that the examples pin, and from writers of the standard library.
"""

import hashlib
import json
from collections.abc import Iterator

import numpy as np
from examples.models import made_files, packages
from examples.models.example import Example
from numpy.typing import NDArray

_RELEASE = "standard_v3_3"
_PACKAGES = ("joblib", "numpy", "onnx", "scipy", "skl2onnx", "sklearn")
_LABEL_OF = {
    ".bz2": "bzip", ".c": "c", ".cc": "cpp", ".cpp": "cpp", ".css": "css", ".csv": "csv",
    ".f": "fortran", ".f90": "fortran", ".gz": "gzip", ".jpg": "jpeg", ".json": "json",
    ".npy": "npy", ".npz": "npz", ".onnx": "onnx", ".pkl": "pickle", ".proto": "proto",
    ".py": "python", ".rst": "rst", ".wav": "wav", ".xz": "xz",
}  # fmt: skip
_SMALLEST = 512
_LARGEST = 2_000_000
_PER_TYPE = 90
_CALIBRATION = 64


def make() -> Example:
    """The model as published, with about 1,000 samples of some 30 types.

    Input `bytes` int32 [batch, 2048]: the first and the last 1,024 bytes of a file, 256 where there
    is none. Output `target_label` float32 [batch, 214]: the probability of each type.
    """
    release = packages.folder("magika") / "models" / _RELEASE
    config = json.loads((release / "config.min.json").read_text())
    space = config["target_labels_space"]
    samples = [(features(data, config), space.index(label)) for label, data in _labelled()]
    order = np.random.default_rng(0).permutation(len(samples))
    tokens = np.stack([samples[i][0] for i in order])
    labels = np.array([samples[i][1] for i in order], dtype=np.int64)
    return Example(
        model=(release / "model.onnx").read_bytes(),
        calibration={"bytes": tokens[:_CALIBRATION]},
        evaluation={"bytes": tokens[_CALIBRATION:], "labels": labels[_CALIBRATION:]},
    )


def features(data: bytes, config: dict[str, int]) -> NDArray[np.int32]:
    """The model's input for one file, as Magika's features extraction v2 defines it.

    Source: `Magika._extract_features_from_seekable` of magika 1.0.3.
    """
    block, padding = config["block_size"], config["padding_token"]
    begin = data[:block].lstrip()[: config["beg_size"]]
    end = data[-block:].rstrip()[-config["end_size"] :]
    tokens = np.full(config["beg_size"] + config["end_size"], padding, dtype=np.int32)
    tokens[: len(begin)] = np.frombuffer(begin, np.uint8)
    tokens[len(tokens) - len(end) :] = np.frombuffer(end, np.uint8)
    return tokens


def _labelled() -> Iterator[tuple[str, bytes]]:
    """Pairs of a type and a file's content, at most `_PER_TYPE` of each type, chosen by hash."""
    found: dict[str, dict[str, bytes]] = {}
    for label, data in (*_shipped(), *made_files.make()):
        if _SMALLEST <= len(data) <= _LARGEST:
            found.setdefault(label, {})[hashlib.sha256(data).hexdigest()] = data
    for label, by_hash in sorted(found.items()):
        for name in sorted(by_hash)[:_PER_TYPE]:
            yield label, by_hash[name]


def _shipped() -> Iterator[tuple[str, bytes]]:
    """Files of the installed packages, labelled by their suffix."""
    for package in _PACKAGES:
        for path in sorted(packages.folder(package).rglob("*")):
            label = _LABEL_OF.get(path.suffix)
            if label and path.is_file() and path.stat().st_size <= _LARGEST:
                yield label, path.read_bytes()
