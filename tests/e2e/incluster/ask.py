"""One request to a model in plain JSON, as curl would send it; runs inside the cluster.

    python ask.py URL MODEL < INPUTS.json

INPUTS.json is the value of `inputs` in the Open Inference Protocol. Prints the model's answer.
"""

import json
import sys
import time
import urllib.error
import urllib.request

RETRY_SECONDS = 5.0
PAUSE_SECONDS = 0.1


def main(url: str, model: str) -> None:
    """Sends standard input, prints the answer."""
    body = json.dumps({"inputs": json.load(sys.stdin)}).encode()
    request = urllib.request.Request(f"{url}/v2/models/{model}/infer", body, method="POST")  # noqa: S310 (the caller's own Service)
    sys.stdout.write(_answer(request, time.monotonic() + RETRY_SECONDS))


def _answer(request: urllib.request.Request, deadline: float) -> str:
    """The answer; a refused connection is repeated: a node's routes lag behind a Service."""
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 (likewise)
                return str(answer.read().decode())
        except urllib.error.HTTPError:
            raise
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
