"""kubectl and helm as the tests call them: JSON in and out, watches instead of polling."""

import json
import os
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from tests.support.tools import tool

Object = dict[str, Any]


class CommandError(RuntimeError):
    """A command failed; the message is what it said."""


class NotReachedError(AssertionError):
    """A state that was waited for did not come; the message holds the last one seen."""


class Kubectl:
    """One cluster, by its kubeconfig."""

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = kubeconfig
        self.path = str(tool("kubectl"))
        self._helm = str(tool("helm"))

    def __call__(self, *arguments: str | Path, stdin: bytes | str | None = None) -> str:
        """What `kubectl ARGUMENTS` prints.

        Raises:
            CommandError: it failed.
        """
        return self._run([self.path, *map(str, arguments)], stdin)

    def helm(self, *arguments: str | Path) -> str:
        """What `helm ARGUMENTS` prints.

        Raises:
            CommandError: it failed.
        """
        return self._run([self._helm, *map(str, arguments)], None)

    def _run(self, command: Sequence[str], stdin: bytes | str | None) -> str:
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            command, input=given, capture_output=True, check=False, env=self.environment()
        )
        if done.returncode:
            what = " ".join(command[1:4])
            raise CommandError(f"{what}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode()

    def environment(self) -> dict[str, str]:
        """The environment in which a command reaches this cluster."""
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig)}

    def apply(self, *objects: Object) -> None:
        """Applies the objects, server-side, as the user `e2e`."""
        self(
            "apply", "--server-side", "--field-manager=e2e", "--force-conflicts", "--filename=-",
            stdin=yaml.safe_dump_all(objects),
        )  # fmt: skip

    def refusal(self, wanted: Object) -> str:
        """What the API server says against an object; empty when it takes it."""
        try:
            self("create", "--dry-run=server", "--filename=-", stdin=json.dumps(wanted))
        except CommandError as error:
            return str(error)
        return ""

    def get(self, kind: str, name: str, namespace: str) -> Object:
        """One object.

        Raises:
            CommandError: there is none.
        """
        return dict(json.loads(self("get", kind, name, "-n", namespace, "-o", "json")))

    def listed(self, kind: str, namespace: str, selector: str = "") -> list[Object]:
        """The objects of a kind that a label selector picks."""
        found = self("get", kind, "-n", namespace, "-l", selector, "-o", "json")
        return [dict(item) for item in json.loads(found)["items"]]

    def watch_until(
        self, kind: str, namespace: str, reached: Callable[[list[Object]], bool], *,
        seconds: float, selector: str = "", what: str = "",
    ) -> list[Object]:  # fmt: skip
        """Watches all objects of a kind until `reached` says so of the list; returns it.

        Raises:
            NotReachedError: not within `seconds`.
        """
        seen: dict[str, Object] = {}
        with self._watching(kind, namespace, selector, seconds) as events:
            if reached([]):
                items = self.listed(kind, namespace, selector)
                if reached(items):
                    return items
            for event in events:
                _note(seen, event)
                if reached(list(seen.values())):
                    return list(seen.values())
        states = json.dumps([_brief(item) for item in seen.values()], indent=1)
        raise NotReachedError(f"{what or kind}: not reached in {seconds:g} s, last seen {states}")

    def wait_for(
        self,
        kind: str,
        name: str,
        namespace: str,
        reached: Callable[[Object], bool],
        *,
        seconds: float,
    ) -> Object:
        """Watches one object until `reached` says so; returns it.

        Raises:
            NotReachedError: not within `seconds`.
        """

        def one(items: list[Object]) -> bool:
            return any(_name(item) == name and reached(item) for item in items)

        items = self.watch_until(kind, namespace, one, seconds=seconds, what=f"{kind}/{name}")
        return next(item for item in items if _name(item) == name)

    def wait_gone(self, kind: str, name: str, namespace: str, *, seconds: float) -> None:
        """Waits until the object does not exist."""
        self("wait", "--for=delete", f"{kind}/{name}", "-n", namespace, f"--timeout={seconds:g}s")

    @contextmanager
    def _watching(
        self, kind: str, namespace: str, selector: str, seconds: float
    ) -> Iterator[Iterator[Object]]:
        command = [
            self.path, "get", kind, "-n", namespace, "-l", selector, "-o", "json", "--watch",
            "--output-watch-events",
        ]  # fmt: skip
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env=self.environment()
        )
        timer = threading.Timer(seconds, process.kill)
        timer.start()
        with process:
            try:
                assert process.stdout is not None
                yield map(json.loads, process.stdout)
            finally:
                timer.cancel()
                process.kill()


def _note(seen: dict[str, Object], event: Mapping[str, Any]) -> None:
    item = event["object"]
    if event["type"] == "DELETED":
        seen.pop(_name(item), None)
    else:
        seen[_name(item)] = item


def _name(item: Object) -> str:
    return str(item["metadata"]["name"])


def _brief(item: Object) -> Object:
    """What a failed wait shows of an object."""
    status = item.get("status", {})
    return {
        "name": _name(item),
        **{k: status[k] for k in ("conditions", "modelStatus") if k in status},
    }
