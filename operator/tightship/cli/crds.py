"""`tightship crds`: writes or deletes the CustomResourceDefinitions; the chart's hooks use it.

Helm installs a chart's CRDs and never touches them again, so an upgrade needs a step of its own.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tightship.api import names
from tightship.kube.client import Client
from tightship.kube.connection import Connection, ConnectionSettingsError
from tightship.kube.errors import KubeError, NotFoundError
from tightship.kube.resources import DEFINITIONS


def main(arguments: Sequence[str]) -> int:
    """Write or delete the definitions in a folder; the exit status."""
    parser = argparse.ArgumentParser(prog="tightship crds", description=__doc__)
    parser.add_argument("action", choices=("apply", "delete"))
    parser.add_argument("folder", type=Path, help="holds one definition in each .yaml file")
    parser.add_argument("--kubeconfig", help="default: the pod's service account")
    given = parser.parse_args(arguments)
    try:
        definitions = read(given.folder)
        asyncio.run(_act(given.action, definitions, given.kubeconfig))
    except (ConnectionSettingsError, KubeError, OSError, ValueError) as error:
        sys.stderr.write(f"tightship crds: {error}\n")
        return 1
    return 0


def read(folder: Path) -> list[dict[str, Any]]:
    """The definitions in a folder, in the order of their files.

    Raises:
        ValueError: there is none, or a file holds something that is not of our group.
    """
    definitions = []
    for path in sorted(folder.glob("*.yaml")):
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not _ours(value):
            raise ValueError(f"{path} is no CustomResourceDefinition of {names.GROUP}")
        definitions.append(value)
    if not definitions:
        raise ValueError(f"{folder} holds no .yaml file; name the folder with the definitions")
    return definitions


async def _act(action: str, definitions: list[dict[str, Any]], kubeconfig: str | None) -> None:
    client = Client(await Connection.open(kubeconfig))
    try:
        for definition in definitions:
            if action == "apply":
                await client.apply(definition, manager=names.MANAGER, force=True)
            else:
                await _delete(client, definition["metadata"]["name"])
            sys.stdout.write(f"{action}: {definition['metadata']['name']}\n")
    finally:
        await client.close()


async def _delete(client: Client, name: str) -> None:
    try:
        live = await client.get(DEFINITIONS, None, name)
        await client.delete(DEFINITIONS, None, name, uid=live["metadata"]["uid"])
    except NotFoundError:
        return


def _ours(value: object) -> bool:
    if not isinstance(value, dict) or value.get("kind") != DEFINITIONS.kind:
        return False
    spec = value.get("spec")
    return isinstance(spec, dict) and spec.get("group") == names.GROUP
