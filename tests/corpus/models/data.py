"""Bad data files for a model `x` float32 [n, 8]: each case makes the bytes of an .npz file."""

import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_SAMPLES = 40
_RNG = np.random.default_rng(0)
INPUT = _RNG.standard_normal((_SAMPLES, 8)).astype(np.float32)
LABELS = _RNG.integers(0, 4, _SAMPLES)
TEXTS = np.array(["text"] * _SAMPLES)


@dataclass(frozen=True)
class Case:
    name: str
    hint: str  # in the message
    content: Callable[[], bytes]
    metric: str = "accuracy"


def npz(**arrays: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, allow_pickle=True, **arrays)
    return stream.getvalue()


def _member(content: bytes, name: str = "x.npy") -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr(name, content)
    return stream.getvalue()


def _claiming(shape: str) -> bytes:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    padded = header + b" " * (64 - (len(header) + 11) % 64) + b"\n"
    return _member(b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + b"\0" * 64)


def _with_nan() -> np.ndarray:
    values = INPUT.copy()
    values[3, 3] = np.nan
    return values


CASES = (
    Case("empty", "no readable .npz", lambda: b""),
    Case("text", "no readable .npz", lambda: b"x,y\n1,2\n"),
    Case("truncated", "no readable .npz", lambda: npz(x=INPUT, labels=LABELS)[:-90]),
    Case("no-arrays", "hold 0 arrays", lambda: b"PK\x05\x06" + b"\0" * 18),
    Case("other-member", "no .npy array", lambda: _member(b"hello", "readme.txt")),
    Case("no-header", "no array header", lambda: _member(b"hello hello hello")),
    Case("pickled", "Python objects", lambda: npz(x=np.array([{1: 2}] * 9, object), labels=LABELS)),
    Case("huge-claim", "claims", lambda: _claiming("(1000000000, 1000000000)")),
    Case("missing-input", "lack ['x']", lambda: npz(y=INPUT, labels=LABELS)),
    Case("extra-input", "does not take", lambda: npz(x=INPUT, z=INPUT, labels=LABELS)),
    Case("wrong-shape", "samples of shape", lambda: npz(x=INPUT[:, :5], labels=LABELS)),
    Case("scalar", "one number", lambda: npz(x=np.array(3, np.float32), labels=LABELS)),
    Case(
        "text-for-numbers", "takes float32", lambda: npz(x=np.full((9, 8), "a"), labels=LABELS[:9])
    ),
    Case("not-finite", "not finite", lambda: npz(x=_with_nan(), labels=LABELS)),
    Case("no-samples", "no length", lambda: npz(x=INPUT[:0], labels=LABELS[:0])),
    Case("other-length", "different", lambda: npz(x=INPUT, labels=LABELS[:-1])),
    Case("no-labels", "lack the array 'labels'", lambda: npz(x=INPUT)),
    Case("float-labels", "whole number", lambda: npz(x=INPUT, labels=LABELS / 2)),
    Case(
        "one-hot-labels", "whole number", lambda: npz(x=INPUT, labels=np.eye(4, dtype=int)[LABELS])
    ),
    Case("negative-labels", "count from 0", lambda: npz(x=INPUT, labels=LABELS - 1)),
    Case("mrr-outside", "index of", lambda: npz(x=INPUT, labels=LABELS + _SAMPLES), metric="mrr"),
    Case(
        "mrr-no-query", "index of", lambda: npz(x=INPUT, labels=np.full(_SAMPLES, -1)), metric="mrr"
    ),
    Case("auc-one-class", "two classes", lambda: npz(x=INPUT, labels=LABELS * 0), metric="auc"),
    Case("f1-text", "whole number", lambda: npz(x=INPUT, labels=TEXTS), metric="f1"),
    Case("cer-numbers", "fixed-width text", lambda: npz(x=INPUT, labels=LABELS), metric="cer"),
    Case(
        "cer-charset-of-numbers",
        "hold a charset",
        lambda: npz(x=INPUT, labels=TEXTS, charset=LABELS),
        metric="cer",
    ),
    Case(
        "wer-no-blank",
        "exactly one, the blank",
        lambda: npz(x=INPUT, labels=TEXTS, charset=TEXTS[:4]),
        metric="wer",
    ),
    Case("mae-text", "the right number", lambda: npz(x=INPUT, labels=TEXTS), metric="mae"),
    Case(
        "rmse-nan",
        "not finite",
        lambda: npz(x=INPUT, labels=np.full(_SAMPLES, np.nan)),
        metric="rmse",
    ),
    Case(
        "cosine-classes", "reference vector", lambda: npz(x=INPUT, labels=LABELS), metric="cosine"
    ),
)
