"""Text in arrays: as numpy holds it, and as Triton sends it."""

import numpy as np


def decoded(array: np.ndarray) -> np.ndarray:
    """Triton's bytes and ONNX Runtime's text alike as numpy text; numbers as they are."""
    if array.dtype.kind not in "OSU":
        return array
    texts = [v.decode() if isinstance(v, bytes) else str(v) for v in array.ravel()]
    return np.array(texts, np.str_).reshape(array.shape)


def encoded(array: np.ndarray) -> np.ndarray:
    """Numpy text as the bytes that Triton takes; anything else as it is."""
    return np.char.encode(array, "utf-8") if array.dtype.kind == "U" else np.asarray(array)
