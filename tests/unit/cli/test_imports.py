"""`tightship import`: real files become profiles that obey the operational laws."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.cache import REPOSITORY

from tightship.cli import command, imports
from tightship.triton import closed_loop, csv_table, perf_analyzer
from tightship.triton.csv_table import TableError
from tightship.triton.profile import Profile

FILES = REPOSITORY / "tests" / "corpus" / "profiles"
MB = 1_000_000
HEADER = (FILES / "inception.csv").read_text().splitlines()[0]
ROW = "1,69.2,225,2148,64,206,11781,19,0,13891,18795,19753,21018"
RESULTS = (FILES / "metrics-model-inference.csv").read_text().splitlines()
CONFIG = ["--config", "add_sub_config_default"]


def imported(capsys: pytest.CaptureFixture[str], *arguments: str) -> Profile:
    assert command.main(["import", *arguments]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return Profile.from_json(shown.out)


def test_perf_analyzers_example(capsys: pytest.CaptureFixture[str]) -> None:
    profile = imported(capsys, "perf-analyzer", str(FILES / "inception.csv"))
    assert (profile.server, profile.max_batch, profile.load_seconds) == ("unknown", 1, None)
    assert (profile.memory, profile.memory_peak, profile.memory_source) == (None, None, None)
    assert [(p.batch, p.concurrency) for p in profile.points] == [(1, 1), (1, 2), (1, 3), (1, 4)]
    point = profile.at(1)
    assert (point.requests, point.seconds, point.throughput) == (None, None, 69.2)
    assert point.mean == pytest.approx(14443e-6)
    assert (point.p50, point.p90) == pytest.approx((13891e-6, 18795e-6))
    assert point.p99 == pytest.approx(21018e-6)
    assert point.server_seconds == pytest.approx(12070e-6)
    assert point.busy_seconds == pytest.approx(12006e-6)
    stages = {"queue": 64e-6, "input": 206e-6, "model": 11781e-6, "output": 19e-6}
    assert point.stages == pytest.approx(stages)
    assert profile.at(1, 4).busy_seconds == pytest.approx(1 / 84.2)  # the clock bounds it


def test_an_instance_is_no_busier_than_the_clock(capsys: pytest.CaptureFixture[str]) -> None:
    profile = imported(capsys, "perf-analyzer", str(FILES / "inception.csv"))
    for point in profile.points:
        assert point.busy_seconds * point.throughput / point.batch <= 1 + 1e-9


def test_memory_of_the_device_is_taken_where_the_file_has_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = str(FILES / "add_sub-verbose.csv")
    profile = imported(capsys, "perf-analyzer", file)
    assert (profile.memory_peak, profile.memory_source) == (872415232, "device")
    assert profile.at(1, 2).mean == pytest.approx(339e-6)
    given = imported(capsys, "perf-analyzer", file, "--memory", "64Mi", "--load-time", "2s")
    assert (given.memory_peak, given.memory_source, given.load_seconds) == (2**26, "given", 2.0)


def test_one_file_for_each_batch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    eight = tmp_path / "eight.csv"
    eight.write_text(f"{HEADER}\n1,320,300,2400,80,300,21800,90,30,24800,25100,25400,26000\n")
    target = tmp_path / "profile.json"
    arguments = [f"8={eight}", str(FILES / "inception.csv"), "--triton", "2.51.0"]
    assert imports.main(["perf-analyzer", *arguments, "-o", str(target)]) == 0
    assert capsys.readouterr() == ("", "")
    profile = Profile.from_json(target.read_text())
    assert (profile.server, profile.max_batch) == ("2.51.0", 8)
    assert [p.batch for p in profile.points] == [1, 1, 1, 1, 8]


def test_model_analyzers_results(capsys: pytest.CaptureFixture[str]) -> None:
    gpu, server = (str(FILES / f"metrics-{name}.csv") for name in ("model-gpu", "server-only"))
    memory = ["--gpu", gpu, "--server", server]
    file = str(FILES / "metrics-model-inference.csv")
    profile = imported(capsys, "model-analyzer", file, *CONFIG, *memory)
    assert profile.max_batch == 8
    assert (profile.memory_peak, profile.memory_source) == ((822 - 457) * MB, "device")
    assert [(p.batch, p.concurrency) for p in profile.points] == [(1, 1), (1, 2), (2, 1), (2, 2)]
    point = profile.at(2, 2)
    assert point.mean == pytest.approx(2 * 2 / 15082.8)  # Little's law
    assert (point.p50, point.p90) == (None, None)
    assert point.p99 == pytest.approx(0.4e-3)
    assert point.busy_seconds == pytest.approx(2 / 15082.8)


def test_two_instances_share_the_work(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(FILES / "metrics-model-inference.csv")
    profile = imported(capsys, "model-analyzer", file, "--config", "add_sub_config_2")
    assert profile.at(1, 2).busy_seconds == pytest.approx(2 / 4179.0)
    assert profile.at(1, 1).busy_seconds == pytest.approx(1 / 2476.4)  # one client keeps one busy


def test_stages_are_read_where_they_were_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ("Avg Latency (ms),p90 Latency (ms),Server Queue time (ms),"
            "Server Compute Input time (ms),Server Compute Infer time (ms),"
            "Server Compute Output time (ms)")  # fmt: skip
    file = tmp_path / "results.csv"
    file.write_text(f"{RESULTS[0]},{more}\n{RESULTS[4]},0.31,0.4,0.02,0.03,0.2,0.01\n")
    point = imported(capsys, "model-analyzer", str(file)).at(1)
    assert point.mean == pytest.approx(0.31e-3)
    assert point.busy_seconds == pytest.approx(0.24e-3)
    assert point.server_seconds == pytest.approx(0.26e-3)
    assert point.stages["model"] == pytest.approx(0.2e-3)


REFUSED: dict[str, tuple[list[str], str, str]] = {
    "empty": (["perf-analyzer"], "", "no column Concurrency"),
    "not a table": (["perf-analyzer"], "<html></html>", "this is not the CSV of perf_analyzer -f"),
    "no server figures": (
        ["perf-analyzer"],
        "Concurrency,Inferences/Second,Client Send,Client Recv,p50 latency\n1,2,3,4,5\n",
        "no column Server Queue",
    ),
    "no row": (["perf-analyzer"], f"{HEADER}\n\n", "a header and no row"),
    "by request rate": (
        ["perf-analyzer"],
        HEADER.replace("Concurrency", "Request Rate") + f"\n{ROW}\n",
        "measure with --concurrency-range",
    ),
    "cut short": (
        ["perf-analyzer"],
        f"{HEADER}\n{ROW}\n2,87.2,235",
        "line 3: 3 cells where the header has 13",
    ),
    "open quote": (["perf-analyzer"], f'{HEADER}\n"{ROW}', "line 2: not CSV"),
    "words": (
        ["perf-analyzer"],
        f"{HEADER}\n{ROW}".replace("69.2", "n/a"),
        "line 2: Inferences/Second is 'n/a'",
    ),
    "not a number": (["perf-analyzer"], f"{HEADER}\n{ROW}".replace("64", "nan"), "Server Queue"),
    "negative": (["perf-analyzer"], f"{HEADER}\n{ROW}".replace("206", "-6"), "Compute Input"),
    "nothing measured": (
        ["perf-analyzer"],
        f"{HEADER}\n{ROW}".replace("69.2", "0"),
        "measure longer (--measurement-interval)",
    ),
    "half a client": (["perf-analyzer"], f"{HEADER}\n1.5{ROW[1:]}", "1.5, not a whole number"),
    "no client": (["perf-analyzer"], f"{HEADER}\n0{ROW[1:]}", "not a number of at least 1"),
    "falling percentiles": (
        ["perf-analyzer"],
        f"{HEADER}\n{ROW}".replace("21018", "1018"),
        "the percentiles do not rise",
    ),
    "measured twice": (
        ["perf-analyzer"],
        f"{HEADER}\n{ROW}\n{ROW}\n",
        "line 3: batch 1 at concurrency 1 stands in line 2 already",
    ),
    "another batch": (
        ["perf-analyzer"],
        f"{HEADER}\n{ROW}".replace("69.2", "553.6"),
        "belong to a batch of about 8, not 1; name the batch",
    ),
    "answers of the cache": (
        ["perf-analyzer"],
        f"{HEADER},Server Cache Hit,Server Cache Miss\n{ROW},12,3\n",
        "measure with the cache off",
    ),
    "rates of Model Analyzer": (
        ["model-analyzer"],
        (FILES / "request-rate.csv").read_text(),
        "measured by request rate",
    ),
    "two models at once": (
        ["model-analyzer"],
        (FILES / "two-models-together.csv").read_text(),
        "line 2: measured together: resnet50_libtorch,vgg19_libtorch",
    ),
    "several configurations": (
        ["model-analyzer"],
        "\n".join(RESULTS),
        "add_sub_config_default; name one with --config",
    ),
    "unknown configuration": (
        ["model-analyzer", "--config", "add_sub_config_7"],
        "\n".join(RESULTS),
        "no Model Config Path add_sub_config_7; there are add_sub_config_0",
    ),
    "unknown model": (
        ["model-analyzer", "--model", "resnet"],
        "\n".join(RESULTS),
        "no Model resnet; there are add_sub",
    ),
    "odd instances": (
        ["model-analyzer"],
        f"{RESULTS[0]}\n{RESULTS[4].replace('1/GPU', 'GPU')}\n",
        "Instance Group is 'GPU', not such as 1:GPU",
    ),
    "batch above the limit": (
        ["model-analyzer", *CONFIG, "--max-batch", "1"],
        "\n".join(RESULTS),
        "a batch of 2 was measured, above --max-batch 1",
    ),
    "half of the memory": (
        ["model-analyzer", *CONFIG, "--gpu", "x.csv"],
        "\n".join(RESULTS),
        "--gpu and --server go together",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_file_is_one_line_with_the_remedy(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, content, told = REFUSED[name]
    file = tmp_path / "measured.csv"
    file.write_text(content)
    assert imports.main([arguments[0], str(file), *arguments[1:]]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert told in shown.err
    assert shown.err.count("\n") == 1


def test_files_that_are_no_text_or_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "model.plan"
    file.write_bytes(b"\xff\xfe\x00")
    assert imports.main(["perf-analyzer", str(file)]) == 1
    assert "model.plan: not text in UTF-8" in capsys.readouterr().err
    assert imports.main(["perf-analyzer", str(tmp_path / "no.csv")]) == 1
    assert "no.csv: No such file" in capsys.readouterr().err


def test_a_batch_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    file = str(FILES / "inception.csv")
    assert imports.main(["perf-analyzer", file, file]) == 1
    assert "name others as BATCH=FILE" in capsys.readouterr().err


def test_memory_of_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "gpu.csv"
    gpu = (FILES / "metrics-model-gpu.csv").read_text()
    other.write_text(gpu.replace("add_sub_config_default", "other"))
    server = str(FILES / "metrics-server-only.csv")
    file = str(FILES / "metrics-model-inference.csv")
    assert imports.main(["model-analyzer", file, *CONFIG, "--gpu", str(other), "--server", server])
    assert "no row of add_sub_config_default" in capsys.readouterr().err


@given(st.text(max_size=300))
def test_no_text_brings_more_than_a_table_error(text: str) -> None:
    for content in (text, f"{HEADER}\n{text}"):
        try:
            perf_analyzer.read(content, batch=1, instances=1)
        except TableError as error:
            assert str(error).startswith("line ")  # noqa: PT017 (either is right)


@given(
    st.integers(1, 64),
    st.integers(1, 64),
    st.floats(1e-3, 1e6),
    st.integers(1, 8),
    st.floats(1e-6, 10),
)
def test_the_laws_agree(
    batch: int, concurrency: int, throughput: float, instances: int, computing: float
) -> None:
    mean = closed_loop.mean_latency(batch, concurrency, throughput)
    assert closed_loop.implied_batch(concurrency, throughput, mean) == pytest.approx(batch)
    busy = closed_loop.busy_bound(batch, throughput, instances, computing)
    assert busy <= computing
    assert busy * throughput / batch <= instances * (1 + 1e-9)


def test_excels_byte_order_mark_is_passed_over() -> None:
    rows = csv_table.read("\ufeffa,b\r\n1,2\r\n", ("a",), "a table")
    assert [(row.line, dict(row.cells)) for row in rows] == [(2, {"a": "1", "b": "2"})]


def test_what_is_written_is_json_without_surprises(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["import", "perf-analyzer", str(FILES / "inception.csv")]) == 0
    value: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert value["schema"] == 1
    assert value["points"][0]["requests"] is None
