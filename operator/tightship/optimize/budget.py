"""Every limit and effort of a conversion in one place: sizes, times, samples, rounds."""

import os
from dataclasses import dataclass
from pathlib import Path

GIB = 2**30
_CGROUP_MEMORY = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How much a conversion may take. Seconds and bytes.

    The defaults keep a model of 100 MB within about a minute on two cores.
    """

    max_model_bytes: int = 2 * GIB - 1  # what one protobuf message can hold
    max_nodes: int = 100_000
    max_tensors: int = 200_000
    max_tensor_bytes: int = 8 * GIB  # in memory, all weights together
    max_depth: int = 24  # of subgraphs and nested messages
    max_data_bytes: int = 2 * GIB  # of one data file, unpacked
    max_data_arrays: int = 64
    inspect_seconds: float = 45.0
    slow_disk: float = 50e6  # bytes a second that a model is read with at least
    export_seconds: float = 120.0  # of turning a scikit-learn model into ONNX
    stage_seconds: float = 300.0  # of one build or one evaluation; for each GiB of a larger model
    metric_seconds: float = 120.0  # of a user's own metric, for one comparison of two models
    total_seconds: float = 1800.0  # after which no further candidate is begun
    scratch_bytes: int = 8 * GIB
    smoke_samples: int = 8
    fidelity_share: float = 0.1
    fidelity_samples: int = 32  # at least
    verify_samples: int = 16  # for equality after normalising
    evaluation_batch: int = 8
    max_batch: int = 32
    look_seconds: float = 0.4  # the quick look at speed before the full metric
    timing_processes: int = 5  # rounds of fresh processes at most
    timing_processes_min: int = 3
    timing_calm: float = 0.04  # with an A/A noise below this, the least number of rounds is enough
    timing_bursts: int = 3
    timing_burst_seconds: float = 0.15
    timing_warmup: int = 10
    throughput_batch: int = 8  # that throughput is taken at, where the model takes so many
    proof_samples: int = 64  # of the original, before a candidate has been proven
    confirm_bursts: int = 8  # of each of the two models in the real Triton
    confirm_burst_seconds: float = 0.3
    profile_seconds: float = 0.5  # for each point of batch and concurrency
    profile_point_seconds: float = 4.0  # what a point may take at most; dearer ones are left out
    golden_samples: int = 8

    def stage(self, model_bytes: int) -> float:
        """Seconds that one build, evaluation or timing of a model of this size may take."""
        return self.stage_seconds * max(1.0, model_bytes / GIB)


def memory_limit() -> int:
    """Bytes that this container may use: its cgroup's limit, else the machine's memory."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in _CGROUP_MEMORY:
        text = file.read_text().strip() if file.exists() else "max"
        if text.isdecimal():
            return min(int(text), physical)
    return physical


def cpus() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0))
