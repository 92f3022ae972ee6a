"""A port of a pod or Service on loopback, through kubectl port-forward."""

import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.support.kubectl import CommandError, Kubectl

_START_SECONDS = 30


@contextmanager
def forwarded(kubectl: Kubectl, target: str, namespace: str, port: int) -> Iterator[str]:
    """HOST:PORT on loopback that reaches `port` of `target`, such as service/store.

    Raises:
        CommandError: kubectl could not forward.
    """
    command = [kubectl.path, "port-forward", "-n", namespace, target, f":{port}"]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        env=kubectl.environment(),
    )  # fmt: skip
    timer = threading.Timer(_START_SECONDS, process.kill)
    timer.start()
    with process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            timer.cancel()
            found = re.search(r"127\.0\.0\.1:\d+", said)
            if not found:
                raise CommandError(f"port-forward {target}: {said.strip() or 'no answer'}")
            drain = threading.Thread(target=process.stdout.read)
            drain.start()
            yield found.group()
            process.kill()
            drain.join()
        finally:
            timer.cancel()
            process.kill()
