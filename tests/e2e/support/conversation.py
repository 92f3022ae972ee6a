"""A program in a container that answers lines with lines of JSON, for as long as it is needed."""

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.support.kubectl import CommandError, Kubectl, Object

_SCRIPTS = Path(__file__).parents[1] / "incluster"
_ANSWER_SECONDS = 180.0


@dataclass(frozen=True)
class Conversation:
    """The program, reached through kubectl exec."""

    name: str
    process: subprocess.Popen[str]

    def ask(self, question: Object | None = None) -> Object:
        """Its answer.

        Raises:
            CommandError: it has ended, or says nothing.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        timer = threading.Timer(_ANSWER_SECONDS, self.process.kill)
        timer.start()
        try:
            self.process.stdin.write(f"{json.dumps(question or {})}\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        finally:
            timer.cancel()
        if not answer:
            raise CommandError(f"{self.name} answers no more")
        return dict(json.loads(answer))


@contextmanager
def conversation(
    kubectl: Kubectl, namespace: str, pod: str, container: str, script: str
) -> Iterator[Conversation]:
    """Runs a script of tests/e2e/incluster in a container that has Python."""
    source = (_SCRIPTS / script).read_text()
    command = [
        kubectl.path, "exec", "-i", pod, "-n", namespace, "-c", container, "--", "python3", "-u",
        "-c", source,
    ]  # fmt: skip
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=kubectl.environment(),
    ) as process:  # fmt: skip
        try:
            yield Conversation(f"{script} in {pod}", process)
        finally:
            process.kill()
