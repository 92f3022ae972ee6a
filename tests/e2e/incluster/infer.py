"""Asks a model through Triton's own client; runs inside the cluster.

    python infer.py http|grpc HOST:PORT MODEL ARRAYS.npz

Sends the arrays as they are, text as BYTES, and prints the outputs as JSON lists by name.
"""

import importlib
import json
import sys

import numpy as np


def main(protocol: str, address: str, model: str, data: str) -> None:
    """Prints the answer."""
    triton = importlib.import_module(f"tritonclient.{protocol}")
    inputs = []
    for name, array in np.load(data, allow_pickle=False).items():
        sent = np.char.encode(array).astype(np.object_) if array.dtype.kind == "U" else array
        given = triton.InferInput(name, sent.shape, triton.np_to_triton_dtype(sent.dtype))
        given.set_data_from_numpy(sent)
        inputs.append(given)
    client = triton.InferenceServerClient(address)
    answer = client.infer(model, inputs)
    described = client.get_model_metadata(model)
    outputs = described["outputs"] if protocol == "http" else described.outputs
    names = [each["name"] if protocol == "http" else each.name for each in outputs]
    found = {name: answer.as_numpy(name).tolist() for name in names}
    client.close()
    sys.stdout.write(json.dumps(found, default=bytes.decode))


if __name__ == "__main__":
    main(*sys.argv[1:])
