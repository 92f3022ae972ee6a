"""Finding Triton's processes in a /proc, and waiting until a reading is calm."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tightship.triton.memory import MemoryMeter, ProcessMeter, ServerProcess, settled
from tightship.triton.metrics import NoData

MIB = 1 << 20


def _process(
    proc: Path, pid: int, parent: int, command: Sequence[str], pss_kib: int | None = 100
) -> None:
    folder = proc / str(pid)
    folder.mkdir()
    (folder / "cmdline").write_text("\0".join(command) + "\0")
    fields = ["S", str(parent), *["0"] * 17, str(pid * 10), *["0"] * 30]
    (folder / "stat").write_text(f"{pid} (odd ) name) {' '.join(fields)}")
    (folder / "statm").write_text("1000 50 20 1 0 10 0")
    if pss_kib is not None:
        (folder / "smaps_rollup").write_text(
            f"00400000-7ffe rollup\nRss: 999 kB\nPss:  {pss_kib} kB\nPss_Dirty: 1 kB\n"
        )


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A pod: pause, Triton with two backend processes, an agent, and another Triton."""
    _process(tmp_path, 1, 0, ["/pause"])
    _process(tmp_path, 7, 1, ["/opt/bin/tritonserver", "--http-port=8000"], 1000)
    _process(tmp_path, 8, 7, ["/opt/triton_python_backend_stub", "model.py"], 200)
    _process(tmp_path, 9, 8, ["/opt/worker"], 30)
    _process(tmp_path, 20, 1, ["python3", "-m", "tightship", "agent"], 5000)
    _process(tmp_path, 30, 1, ["tritonserver", "--http-port", "9000"], 70)
    (tmp_path / "uptime").write_text("1 1")
    return tmp_path


async def test_a_server_is_its_whole_tree(proc: Path) -> None:
    assert await ProcessMeter(8000, proc).read() == 1230 * 1024


async def test_the_port_tells_servers_apart(proc: Path) -> None:
    assert await ProcessMeter(9000, proc).read() == 70 * 1024


def test_a_life_is_pid_and_start(proc: Path) -> None:
    assert ProcessMeter(8000, proc).server() == ServerProcess(pid=7, started=70)
    assert ProcessMeter(8001, proc).server() is None


def test_instances_are_the_living_processes_of_one_model(proc: Path) -> None:
    stub = "/opt/triton_python_backend_stub"
    _process(proc, 40, 7, [stub, "/models/digits/1/model.onnx", "digits_0_0", "/opt/onnxruntime"])
    _process(proc, 41, 7, [stub, "/models/digits/1/model.onnx", "digits_0_1", "/opt/onnxruntime"])
    _process(proc, 42, 7, [stub, "/models/digits__staging/1/model.onnx", "digits__staging_0_0"])
    _process(proc, 43, 7, [stub, "/models/my-digits/1/model.onnx", "my-digits_0_0"])
    _process(proc, 44, 7, [])  # one that has ended and was not waited for has no command line
    _process(proc, 45, 30, [stub, "/models/digits/1/model.onnx", "digits_0_2"])  # another Triton's
    meter = ProcessMeter(8000, proc)
    assert meter.instances("digits") == {"digits_0_0", "digits_0_1"}
    assert meter.instances("other") == set()
    assert ProcessMeter(8001, proc).instances("digits") == set()


async def test_the_default_port_needs_no_flag(tmp_path: Path) -> None:
    _process(tmp_path, 7, 1, ["tritonserver", "--model-repository=/models"], 10)
    assert await ProcessMeter(8000, tmp_path).read() == 10 * 1024


async def test_no_visible_server_is_no_zero(tmp_path: Path) -> None:
    assert isinstance(await ProcessMeter(8000, tmp_path).read(), NoData)


async def test_a_process_that_ends_meanwhile_counts_for_nothing(proc: Path) -> None:
    (proc / "9" / "smaps_rollup").unlink()
    assert await ProcessMeter(8000, proc).read() == 1200 * 1024


class _Readings(MemoryMeter):
    source = "readings"

    def __init__(self, *values: int | NoData) -> None:
        self.values = list(values)

    async def read(self) -> int | NoData:
        return self.values.pop(0) if len(self.values) > 1 else self.values[0]


@pytest.mark.parametrize(
    ("readings", "calm"),
    [
        pytest.param([50 * MIB], 50 * MIB, id="calm-at-once"),
        pytest.param([MIB, 20 * MIB, 40 * MIB, 60 * MIB], 60 * MIB, id="grows"),
        pytest.param([90 * MIB, 90 * MIB, 10 * MIB], 10 * MIB, id="falls"),
    ],
)
async def test_settles_on_the_value_that_stays(readings: list[int], calm: int) -> None:
    assert await settled(_Readings(*readings)) == calm


async def test_no_data_ends_the_wait() -> None:
    assert await settled(_Readings(NoData("gone"))) == NoData("gone")


async def test_a_restless_value_ends_with_the_deadline() -> None:
    restless = _Readings(*[number * 10 * MIB for number in range(10_000)])
    value = await settled(restless, deadline=0.2)
    assert isinstance(value, int)
    assert len(restless.values) > 1


_ROLLUP = """\
00400000-7ffe rollup
Rss:                 900 kB
Pss:                 500 kB
Pss_Dirty:           130 kB
Pss_Anon:            120 kB
Pss_File:            370 kB
Pss_Shmem:            10 kB
"""
_LIBRARIES = """\
00400000-00452000 r-xp 00000000 08:02 173521 /opt/stub
00452000-00453000 r--p 00052000 08:02 173521 /opt/stub
7f00-7f20 r--p 00000000 08:02 1 /opt/libonnxruntime.so.1.31
7f30-7f40 rw-s 00000000 00:10 2 /dev/shm/region
7f50-7f60 rw-p 00000000 00:00 0 [heap]
7f60-7f70 rw-p 00000000 00:00 0
"""
_WEIGHTS = "7f80-7f90 r--p 00000000 08:02 9 /models/a b/1/model.bin\n"


async def test_what_all_models_share_is_no_models(proc: Path) -> None:
    (proc / "9" / "smaps_rollup").write_text(_ROLLUP)
    (proc / "9" / "maps").write_text(_LIBRARIES)
    assert await ProcessMeter(8000, proc).read() == (1200 + 130) * 1024


async def test_weights_that_are_mapped_are_the_models(proc: Path) -> None:
    (proc / "9" / "smaps_rollup").write_text(_ROLLUP)
    (proc / "9" / "maps").write_text(_LIBRARIES + _WEIGHTS)
    sizes = [
        f"{line}\nSize: 400 kB\nPss: {size} kB\nPss_Dirty: 3 kB\n"
        for line, size in zip(
            (_LIBRARIES + _WEIGHTS).splitlines(), (40, 20, 90, 10, 60, 60, 220), strict=True
        )
    ]
    (proc / "9" / "smaps").write_text("".join(sizes))
    assert await ProcessMeter(8000, proc).read() == (1200 + 130 + 220) * 1024
