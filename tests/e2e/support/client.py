"""A client inside the cluster: a pod that runs the scripts of tests/e2e/incluster."""

import io
import json
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.e2e.support import pods
from tests.e2e.support.kubectl import CommandError, Kubectl, Object

NAME = "client"
_DATA = "/data"
_SCRIPTS = Path(__file__).parents[1] / "incluster"
_TAIL_SECONDS = 10  # for what comes late: an endpoint that goes, a probe that fails
_WAIT = "import signal; signal.pause()"
_RECEIVE = "import pathlib, sys; pathlib.Path(sys.argv[1]).write_bytes(sys.stdin.buffer.read())"


@dataclass(frozen=True)
class Counts:
    """What a load saw. `raw` and `retried` count failed requests by kind, `gap` is in seconds."""

    requests: int
    raw: Mapping[str, int]
    retried: Mapping[str, int]
    gap: float
    p50: float
    p99: float

    @property
    def raw_failures(self) -> int:
        """Requests whose first attempt failed."""
        return sum(self.raw.values())

    @property
    def failures(self) -> int:
        """Requests that failed behind a client that retries for one second."""
        return sum(self.retried.values())


@dataclass(frozen=True)
class Load:
    """A load that is running; `counts` ends it."""

    process: subprocess.Popen[str]

    def counts(self) -> Counts:
        """Ends the load and says what it saw.

        Raises:
            CommandError: the client's pod was lost.
        """
        printed, said = self.process.communicate()
        if self.process.returncode:
            raise CommandError(f"the load ended early: {said}")
        return Counts(**json.loads(printed))


class Client:
    """The pod, in the namespace of the models that it asks."""

    def __init__(
        self, kubectl: Kubectl, namespace: str, image: str, nodes: Mapping[str, str] | None = None
    ) -> None:
        self._kubectl = kubectl
        self.namespace = namespace
        volumes: dict[str, Object] = {_DATA: {"emptyDir": {}}}
        pod = pods.python(NAME, namespace, image, ["-c", _WAIT], volumes, nodes=nodes)
        kubectl.apply(pod)
        kubectl("wait", "--for=condition=Ready", f"pod/{NAME}", "-n", namespace, "--timeout=60s")
        for script in _SCRIPTS.glob("*.py"):
            self.send(script.name, script.read_bytes())

    def send(self, name: str, content: bytes) -> None:
        """Puts a file where scripts find it by its name."""
        self._exec("-c", _RECEIVE, f"{_DATA}/{name}", stdin=content)

    def send_arrays(self, name: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Puts an .npz file where scripts find it by its name."""
        file = io.BytesIO()
        np.savez_compressed(file, allow_pickle=False, **arrays)
        self.send(name, file.getvalue())

    def send_json(self, name: str, value: Object) -> None:
        """Puts JSON where scripts find it by its name."""
        self.send(name, json.dumps(value).encode())

    def run(self, script: str, *arguments: str) -> Object:
        """The JSON that a script prints."""
        return dict(json.loads(self._exec(f"{_DATA}/{script}", *arguments)))

    def ask(self, model: str, inputs: list[dict[str, Any]]) -> Object:
        """The answer of the model's Service to one request in plain JSON."""
        given = json.dumps(inputs).encode()
        said = self._exec(f"{_DATA}/ask.py", self.url(model), model, stdin=given)
        return dict(json.loads(said))

    def url(self, model: str) -> str:
        """The model's Service over HTTP."""
        return f"http://{model}.{self.namespace}.svc.cluster.local:8000"

    @contextmanager
    def load(self, model: str, samples: str, rate: float) -> Iterator[Load]:
        """A load on the model's Service, in full swing when the block begins."""
        command = [
            self._kubectl.path, "exec", "-i", "-n", self.namespace, NAME, "--", "python3",
            f"{_DATA}/load.py", self.url(model), model, f"{_DATA}/{samples}", str(rate),
            str(_TAIL_SECONDS),
        ]  # fmt: skip
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=self._kubectl.environment(),
        )  # fmt: skip
        with process:
            try:
                assert process.stderr is not None
                process.stderr.readline()
                yield Load(process)
            finally:
                process.kill()

    def _exec(self, *arguments: str, stdin: bytes | None = None) -> str:
        where = ["exec", "-i", "-n", self.namespace, NAME, "--", "python3"]
        return self._kubectl(*where, *arguments, stdin=stdin)
