"""Reads what a server's Triton holds; runs in the pod's agent container, which sees its processes.

    python meter.py

Each line of its input is a question, and is answered with one line of JSON, in bytes: the
proportional memory of tritonserver and its descendants (`pss`, of which `anonymous`, `file` and
`shared`), read until four readings agree within 1 MiB, and its container's memory as the kernel
counts it: `limit`, `usage`, `peak`, `workingSet` (what the kernel cannot drop at once) and
`kills`. `pid` is Triton's. Written without the product's own meter, so that it can be checked.
"""

import json
import re
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

PROC = Path("/proc")
CGROUP = "sys/fs/cgroup"
PARTS = {"pss": "Pss", "anonymous": "Pss_Anon", "file": "Pss_File", "shared": "Pss_Shmem"}
CALM_BYTES, CALM_READS, READS_MAX, PAUSE_SECONDS = 1 << 20, 4, 100, 0.05


def server() -> int:
    """The process id of tritonserver.

    Raises:
        LookupError: none is visible.
    """
    for folder in PROC.glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().split(b"\0")[0]
        except OSError:
            continue
        if command.rpartition(b"/")[2] == b"tritonserver":
            return int(folder.name)
    raise LookupError("no tritonserver is visible")


def family(root: int) -> set[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            parent = stat.read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        children.setdefault(int(parent), []).append(int(stat.parent.name))
    found, left = {root}, [root]
    while left:
        more = children.get(left.pop(), [])
        found.update(more)
        left.extend(more)
    return found


def processes(root: int) -> dict[str, int]:
    """Bytes of all processes together, by part."""
    total = dict.fromkeys(PARTS, 0)
    for pid in family(root):
        try:
            text = (PROC / str(pid) / "smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        for name, field in PARTS.items():
            total[name] += _field(text, rf"{field}:\s+(\d+) kB") << 10
    return total


def calm(root: int) -> dict[str, int]:
    """The processes once they have stopped moving."""
    reads: list[dict[str, int]] = []
    for _ in range(READS_MAX):
        reads = [*reads[-CALM_READS + 1 :], processes(root)]
        sizes = [read["pss"] for read in reads]
        if len(sizes) == CALM_READS and max(sizes) - min(sizes) <= CALM_BYTES:
            break
        threading.Event().wait(PAUSE_SECONDS)
    return reads[-1]


def container(root: int) -> dict[str, int]:
    """The container's memory, by either version of control groups."""
    folder = PROC / str(root) / "root" / CGROUP
    if (folder / "memory.current").exists():
        names = ("memory.max", "memory.current", "memory.peak", "memory.events", "memory.stat")
        limit, usage, peak, events, stat = _texts(folder, names)
        inactive = _field(stat, r"^inactive_file (\d+)")
    else:
        names = (
            "memory.limit_in_bytes", "memory.usage_in_bytes", "memory.max_usage_in_bytes",
            "memory.oom_control", "memory.stat",
        )  # fmt: skip
        limit, usage, peak, events, stat = _texts(folder / "memory", names)
        inactive = _field(stat, r"^total_inactive_file (\d+)")
    return {
        "limit": int(limit), "usage": int(usage), "peak": int(peak),
        "workingSet": int(usage) - inactive, "kills": _field(events, r"^oom_kill (\d+)"),
    }  # fmt: skip


def _texts(folder: Path, names: tuple[str, ...]) -> Iterator[str]:
    return ((folder / name).read_text().strip() for name in names)


def _field(text: str, pattern: str) -> int:
    found = re.search(pattern, text, re.MULTILINE)
    return int(found.group(1)) if found else 0


def reading() -> Mapping[str, int]:
    """Everything, now."""
    root = server()
    return {"pid": root, **calm(root), **container(root)}


def main() -> None:
    """Answers until its input ends."""
    for _ in sys.stdin:
        sys.stdout.write(f"{json.dumps(reading())}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
