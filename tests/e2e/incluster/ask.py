"""One request to a model in plain JSON, as curl would send it; runs inside the cluster.

    python ask.py URL MODEL < INPUTS.json

INPUTS.json is the value of `inputs` in the Open Inference Protocol. Prints the model's answer.
"""

import json
import sys
import urllib.request


def main(url: str, model: str) -> None:
    """Sends standard input, prints the answer."""
    body = json.dumps({"inputs": json.load(sys.stdin)}).encode()
    request = urllib.request.Request(f"{url}/v2/models/{model}/infer", body, method="POST")  # noqa: S310 (the caller's own Service)
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (likewise)
        sys.stdout.write(answer.read().decode())


if __name__ == "__main__":
    main(*sys.argv[1:])
