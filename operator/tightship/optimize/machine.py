"""What this node is: processor, instruction sets, and the versions of what computes on it."""

import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from tightship.optimize.budget import cpus, memory_limit

_CACHES = Path("/sys/devices/system/cpu/cpu0/cache")
_SIZE = re.compile(r"(\d+)([KMG]?)")
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30}
_TOOLS = ("nncf", "numpy", "onnx", "onnxruntime", "onnxslim", "openvino", "tightship")
_TELLING = [
    "avx2",
    "avx512f",
    "avx512_vnni",
    "avx_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_int8",
    "amx_bf16",
    "asimddp",
    "i8mm",
]


def cpu_flags() -> frozenset[str]:
    """Instruction sets of the processor; empty where the system does not tell."""
    for line in _cpuinfo():
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()


def cache_bytes(folder: Path = _CACHES) -> int:
    """Size of the first processor's last-level cache; 0 where the system does not tell."""
    sizes = {}
    for cache in folder.glob("index*"):
        level, size = cache / "level", cache / "size"
        if level.exists() and size.exists() and (told := _SIZE.fullmatch(size.read_text().strip())):
            sizes[int(level.read_text())] = int(told[1]) * _UNITS[told[2]]
    return sizes[max(sizes)] if sizes else 0


def _cpuinfo() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text().splitlines() if file.exists() else []


def hardware(threads: int, node_class: str) -> dict[str, Any]:
    """The report's `hardware`."""
    models = [
        line.partition(":")[2].strip() for line in _cpuinfo() if line.startswith("model name")
    ]
    flags = cpu_flags()
    return {
        "cpu": models[0] if models else platform.processor() or platform.machine(),
        "flags": [flag for flag in _TELLING if flag in flags],
        "cores": cpus(),
        "threads": threads,
        "memoryBytes": memory_limit(),
        "nodeClass": node_class,
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def versions() -> dict[str, str]:
    """The report's `tools`."""
    found = {"python": platform.python_version()}
    for name in _TOOLS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "unknown"
    return found
