import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from benchmarks import record
from benchmarks.packing import __main__ as command
from benchmarks.record import Bench


def test_unknown_parts_are_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["b2"])
    assert (
        "there is no part 'b2'; there are mig, time, churn, b1, memory, live"
        in capsys.readouterr().err
    )


def test_only_a_whole_run_writes_and_it_does_after_each_step(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    written = []

    def part(bench: Bench, sizes: Iterable[int]) -> Iterator[None]:
        for size in sizes:
            bench.add(f"GPUs B1 {size} models", 1, "")
            yield

    monkeypatch.setattr(command, "PARTS", {"one": part})
    monkeypatch.setattr(Bench, "write", lambda self: written.append(len(self.figures)))
    assert command.main(["one", "--models", "5"]) == 0
    assert written == []
    assert command.main([]) == 0
    assert written == [1, 2, 3, 4]
    capsys.readouterr()


def test_a_missed_target_is_the_commands_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def part(bench: Bench, _: Iterable[int]) -> Iterator[None]:
        bench.add("plan 10,000 models, full", 3, "s")
        yield

    monkeypatch.setattr(command, "PARTS", {"one": part})
    assert command.main(["one"]) == 1
    assert "MISSED" in capsys.readouterr().out


def test_with_keep_a_part_takes_the_place_of_its_own_figures(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def one(bench: Bench, _: Iterable[int]) -> Iterator[None]:
        bench.add("plan 10,000 models, full", 0.5, "s")
        bench.add("GPUs B1 5 models", 1, "")
        yield

    def two(bench: Bench, _: Iterable[int]) -> Iterator[None]:
        bench.add("plan 10,000 models, full", 0.25, "s")
        yield

    monkeypatch.setattr(record, "RESULTS", tmp_path)
    monkeypatch.setattr(command, "PARTS", {"one": one})
    command.main([])
    monkeypatch.setattr(command, "PARTS", {"two": two})
    for _ in range(2):
        assert command.main(["two", "--keep"]) == 0
    written = json.loads((tmp_path / "packing.json").read_text())
    assert {figure["name"]: figure["value"] for figure in written["figures"]} == {
        "GPUs B1 5 models": 1,
        "plan 10,000 models, full": 0.25,
    }
    assert written["command"] == "make bench-packing"
    assert [run["command"] for run in written["later"]] == ["python -m benchmarks.packing two"]
    capsys.readouterr()
