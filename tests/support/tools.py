"""Commands that tests call (kubectl, helm, etcd, ...): built into the cache when missing."""

import subprocess
from pathlib import Path

from tests.support.cache import REPOSITORY

CLUSTER = REPOSITORY / "tests" / "cluster" / "cluster"


def tool(name: str) -> Path:
    """The path of a command at the version of tests/cluster/versions.env."""
    built = subprocess.run([CLUSTER, "tools", name], check=True, stdout=subprocess.PIPE, text=True)
    return Path(built.stdout.strip()) / name
