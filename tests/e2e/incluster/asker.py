"""Asks servers one request after the other; runs inside the cluster.

    python asker.py

Each line of its input is JSON: {"address": HOST:PORT, "model": NAME, "samples": FILE.npz, "rows":
NUMBER}. One request with so many samples is sent, and answered with one line of JSON: `seconds`, or
`error`, why it failed.
"""

import json
import sys
import time

import numpy as np
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

SECONDS = 120.0


def ask(address: str, model: str, samples: str, rows: int) -> dict[str, float | str]:
    """One request, and what became of it."""
    inputs = []
    for name, array in np.load(samples, allow_pickle=False).items():
        sent = np.resize(array, (rows, *array.shape[1:]))
        given = triton.InferInput(name, sent.shape, triton.np_to_triton_dtype(sent.dtype))
        given.set_data_from_numpy(sent)
        inputs.append(given)
    client = triton.InferenceServerClient(address, network_timeout=SECONDS)
    begin = time.monotonic()
    try:
        client.infer(model, inputs)
    except (InferenceServerException, OSError) as error:
        return {"error": str(error)}
    finally:
        client.close()
    return {"seconds": time.monotonic() - begin}


def main() -> None:
    """Answers until its input ends."""
    for line in sys.stdin:
        sys.stdout.write(f"{json.dumps(ask(**json.loads(line)))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
