"""Memory that Triton takes: its processes in /proc, or its device by its own metrics."""

import asyncio
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tightship.triton.client import TritonClient
from tightship.triton.metrics import NoData, parse

_SERVER = "tritonserver"
_DEFAULT_PORT = "8000"
_POLL_SECONDS = 0.05
_CALM_READS = 4
_CALM_BYTES = 1 << 20
_KIB = 1024
_SIZE = re.compile(r"^(\w+):\s+(\d+) kB", re.MULTILINE)
_HEADER = re.compile(r"[0-9a-f]+-[0-9a-f]+ ")
_PATH = 5  # column of maps
_LIBRARY = re.compile(r"\.so(\.|$)")
_MEMORY_FILES = ("/dev/shm/", "/SYSV", "/memfd:")  # noqa: S108 (names of mappings)
_STARTED = 19  # place of the start time in /proc/PID/stat after the name
_PAGE = 4096


class MemoryMeter(Protocol):
    """Something that reads how much memory Triton takes now."""

    source: str

    async def read(self) -> int | NoData:
        """Bytes now."""
        ...


@dataclass(frozen=True, slots=True)
class ServerProcess:
    """One life of a Triton: the pid may come back, the start time (clock ticks since boot) not."""

    pid: int
    started: int


class ProcessMeter:
    """The proportional memory of tritonserver and its descendants (Python-based backends).

    Works where Triton's processes are visible: on the same machine, or in a pod that shares its
    process namespace. Where several Tritons run, the one whose --http-port is `port` is meant.
    Pages that processes share are counted once. Those of programs and libraries are not: the first
    model of a server would seem to take what all of them share. Where the kernel does not let us
    see that (another user's process), resident pages are counted, which errs upwards.
    """

    source = "processes"

    def __init__(self, port: int, proc: Path = Path("/proc")) -> None:
        self._port = str(port)
        self._proc = proc
        self._known: ServerProcess | None = None

    def server(self) -> ServerProcess | None:
        """The running server, or None where none is visible."""
        if self._known is None or self._life(self._known.pid) != self._known:
            self._known = self._search()
        return self._known

    def instances(self, model: str) -> set[str]:
        """The model's instances (`MODEL_GROUP_INDEX`) that have a living process of their own.

        Empty where a model has none: other backends than Python-based ones, instance groups that
        were given names, and where processes are not visible.
        """
        server = self.server()
        pattern = re.compile(rf"{re.escape(model)}_\d+_\d+")
        tree = self._tree(server.pid) if server else ()
        words = (word for pid in tree for word in _command(self._proc / str(pid)))
        return {word for word in words if pattern.fullmatch(word)}

    def _life(self, pid: int) -> ServerProcess | None:
        fields = _stat(self._proc / str(pid))
        return None if fields is None else ServerProcess(pid, int(fields[_STARTED]))

    def _search(self) -> ServerProcess | None:
        for folder in self._proc.glob("[0-9]*"):
            command = _command(folder)
            if command and _is_server(command) and _http_port(command) == self._port:
                return self._life(int(folder.name))
        return None

    async def read(self) -> int | NoData:
        """Bytes of all processes of the server now."""
        server = self.server()
        if server is None:
            return NoData(f"no process '{_SERVER}' with HTTP port {self._port} is visible")
        return sum(_bytes(self._proc / str(pid)) for pid in self._tree(server.pid))

    def _tree(self, root: int) -> set[int]:
        parents: dict[int, list[int]] = {}
        for folder in self._proc.glob("[0-9]*"):
            fields = _stat(folder)
            if fields is not None:
                parents.setdefault(int(fields[1]), []).append(int(folder.name))
        found, left = {root}, [root]
        while left:
            children = parents.get(left.pop(), [])
            found.update(children)
            left.extend(children)
        return found


class DeviceMeter:
    """Memory in use on the devices that Triton sees, by its own metric.

    Counts everything on the device, so it is right only where the device is the server's alone.
    """

    source = "device"

    def __init__(self, client: TritonClient) -> None:
        self._client = client

    async def read(self) -> int | NoData:
        """Bytes in use on the devices now."""
        used = parse(await self._client.metrics()).total("nv_gpu_memory_used_bytes")
        return used if isinstance(used, NoData) else int(used)


class SharedDeviceMeter:
    """A device that other servers are on: what is in use on it is not this server's alone.

    A neighbour that loads a model meanwhile would be counted as ours, so nothing is measured.
    """

    source = "device"

    async def read(self) -> int | NoData:
        """No figure, and why."""
        return NoData("the device is shared, so its memory in use is not this server's alone")


async def settled(meter: MemoryMeter, *, deadline: float = 5.0) -> int | NoData:
    """Reads until the value has stopped moving (four reads within 1 MiB), or the deadline is over.

    Triton answers an unload before its processes have gone, and a load while they still start up.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline
    reads: list[int] = []
    while True:
        value = await meter.read()
        if isinstance(value, NoData):
            return value
        reads = [*reads[-_CALM_READS + 1 :], value]
        calm = len(reads) == _CALM_READS and max(reads) - min(reads) <= _CALM_BYTES
        if calm or loop.time() > end:
            return value
        await asyncio.sleep(_POLL_SECONDS)


def _command(folder: Path) -> list[str]:
    try:
        return (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _is_server(command: Iterable[str]) -> bool:
    return Path(next(iter(command))).name == _SERVER


def _http_port(command: list[str]) -> str:
    port = _DEFAULT_PORT
    for index, argument in enumerate(command):
        if argument.startswith("--http-port="):
            port = argument.partition("=")[2]
        elif argument == "--http-port" and index + 1 < len(command):
            port = command[index + 1]
    return port


def _stat(folder: Path) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on: the name before them may hold spaces."""
    try:
        return (folder / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _bytes(folder: Path) -> int:
    """Proportional bytes of one process, resident ones where those may not be read, 0 once gone."""
    try:
        parts = _parts((folder / "smaps_rollup").read_text())
        if "Pss_File" not in parts:  # a kernel before 5.4
            return parts.get("Pss", 0)
        files = _mapped(folder, _data(folder))
    except PermissionError:
        return _resident(folder)
    except OSError:
        return 0
    return parts["Pss"] - parts["Pss_File"] + files


def _parts(text: str) -> dict[str, int]:
    """Bytes by the names of smaps."""
    return {name: int(size) * _KIB for name, size in _SIZE.findall(text)}


def _data(folder: Path) -> set[str]:
    """Files that the process maps and that are no code, such as weights that are not copied."""
    lines = [line.split(maxsplit=_PATH) for line in (folder / "maps").read_text().splitlines()]
    named = [fields for fields in lines if len(fields) > _PATH and fields[_PATH].startswith("/")]
    code = {fields[_PATH] for fields in named if "x" in fields[1]}
    return {
        fields[_PATH]
        for fields in named
        if not (_LIBRARY.search(fields[_PATH]) or fields[_PATH].startswith(_MEMORY_FILES))
    } - code


def _mapped(folder: Path, files: set[str]) -> int:
    """Proportional bytes of these files. Slower than the other looks, so only where there are."""
    total, counts = 0, False
    for line in (folder / "smaps").read_text().splitlines() if files else ():
        if _HEADER.match(line):
            counts = "".join(line.split(maxsplit=_PATH)[_PATH:]) in files
        elif counts and line.startswith("Pss:"):
            total += int(line.split()[1]) * _KIB
    return total


def _resident(folder: Path) -> int:
    try:
        return int((folder / "statm").read_text().split()[1]) * _PAGE
    except OSError:
        return 0
