from collections.abc import Iterable, Iterator

import pytest
from benchmarks.packing import __main__ as command
from benchmarks.record import Bench


def test_unknown_parts_are_refused_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["b2"])
    assert "there is no part 'b2'; there are mig, time, churn, b1" in capsys.readouterr().err


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
