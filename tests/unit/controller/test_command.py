import json
from pathlib import Path

import pytest
import yaml
from tests.integration.controller.harness import model, pool

from tightship import settings
from tightship.cli.command import COMMANDS, main


def test_defaults() -> None:
    found = settings.parse([], {"POD_NAME": "op-1"})
    assert found.namespaces == ()
    assert found.identity.startswith("op-1-")


def test_flags_win_over_the_environment() -> None:
    environ = {"TIGHTSHIP_NAMESPACES": "b,a,,b", "TIGHTSHIP_WORKERS": "2", "POD_NAMESPACE": "ns"}
    found = settings.parse(["--workers", "7"], environ)
    assert found.namespaces == ("a", "b")
    assert (found.workers, found.lease_namespace) == (7, "ns")


@pytest.mark.parametrize(("told", "watched"), [("true", True), ("false", False)])
def test_whether_nodes_are_watched(told: str, *, watched: bool) -> None:
    assert settings.parse([], {"TIGHTSHIP_WATCH_NODES": told}).watch_nodes is watched
    assert not settings.parse([], {}).watch_nodes


WRONG = (
    ["--workers", "x"],
    ["--workers", "0"],
    ["--lease-duration", "1"],
    ["--log-format", "xml"],
    ["--watch-nodes", "yes"],
)


@pytest.mark.parametrize("arguments", WRONG)
def test_a_wrong_value_is_a_sentence(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        settings.parse(arguments, {})
    assert arguments[0] in capsys.readouterr().err


def test_every_field_has_a_flag() -> None:
    flags = {name.replace("_", "-") for name in settings.Settings.__dataclass_fields__}
    known = settings._parser({})
    assert flags <= {
        option.removeprefix("--") for a in known._actions for option in a.option_strings
    }


def test_an_unknown_command_lists_the_known(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["fly"])
    printed = capsys.readouterr().err
    assert "invalid choice" in printed
    assert all(name in printed for name in COMMANDS)


def test_version(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tightship.cli.command.version", lambda _: "1.2.3")
    assert main(["version"]) == 0
    assert capsys.readouterr().out == "tightship 1.2.3\n"


def _written(folder: Path, *documents: object) -> str:
    path = folder / "file.yaml"
    path.write_text(yaml.safe_dump_all(json.loads(json.dumps(documents))))
    return str(path)


def test_right_resources(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = _written(tmp_path, pool(), model("a"), {"kind": "ConfigMap"}, None)
    assert main(["validate", "-f", path]) == 0
    assert capsys.readouterr().out.count("valid") == 2


INVALID = {
    "a value": (model("a", replicas=-1), "replicas"),
    "the version": ({**model("a"), "apiVersion": "tightship.dev/v9"}, "apiVersion must be"),
    "no name": ({**model("a"), "metadata": {}}, "metadata.name is missing"),
    "metadata of another type": ({**model("a"), "metadata": 7}, "metadata.name is missing"),
    "no spec": ({**model("a"), "spec": None}, "spec"),
}


@pytest.mark.parametrize("case", INVALID)
def test_a_wrong_resource_is_named(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    resource, words = INVALID[case]
    assert main(["validate", "-f", _written(tmp_path, resource)]) == 1
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(("text", "words"), [("{a: [", "not YAML"), ("{}", "nothing of ours")])
def test_a_file_without_resources(
    text: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "file.yaml"
    path.write_text(text)
    assert main(["validate", "-f", str(path)]) == 1
    assert words in capsys.readouterr().out


def test_a_missing_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "-f", "/nowhere/file.yaml"]) == 1
    assert "cannot be read" in capsys.readouterr().out
