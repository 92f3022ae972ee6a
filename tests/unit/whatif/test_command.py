"""`tightship plan`: the example in every form, exit statuses, and one line for wrong inputs."""

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from tests.support.cache import REPOSITORY
from tests.unit.whatif import golden

from tightship.cli import command, plan

SCHEMA = json.loads((REPOSITORY / "docs" / "reference" / "plan.schema.json").read_text())


@pytest.fixture(autouse=True)
def _in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(REPOSITORY)


def test_the_example_in_every_form() -> None:
    stored = {form: golden.file(form).read_text(encoding="utf-8") for form in golden.FORMS}
    assert golden.rendered() == stored


def test_the_answer_goes_to_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "plan.txt"
    assert command.main(["plan", *golden.OPTIONS, "--to", str(target)]) == 0
    assert capsys.readouterr() == ("", "")
    assert target.read_text() == golden.file("table").read_text(encoding="utf-8")


def test_the_documentation_shows_what_is_printed() -> None:
    page = (REPOSITORY / "docs" / "plan.md").read_text(encoding="utf-8")
    assert golden.file("table").read_text(encoding="utf-8").strip() in page


def test_the_json_follows_its_schema() -> None:
    jsonschema.validate(json.loads(golden.file("json").read_text()), SCHEMA)


@pytest.mark.parametrize("form", ["html", "svg"])
def test_nothing_is_loaded_and_no_script_runs(form: str) -> None:
    text = golden.file(form).read_text()
    text = text.replace("http://www.w3.org/2000/svg", "")
    assert not [word for word in ("<script", "http:", "https:", "src=", "url(") if word in text]


def test_a_load_that_does_not_fit_is_exit_3(capsys: pytest.CaptureFixture[str]) -> None:
    assert plan.main([*golden.OPTIONS, "--load", "50", "--output", "json"]) == 3
    found = json.loads(capsys.readouterr().out)
    jsonschema.validate(found, SCHEMA)
    assert not found["fine"]
    assert any(m["message"] for m in found["models"] if m["verdict"] in ("Waiting", "Outside"))
    assert 0 < found["limits"][-1]["factor"] < 1


def test_a_flag_wins_over_the_file_and_a_star_over_nobody(
    capsys: pytest.CaptureFixture[str],
) -> None:
    flags = ["--rate", "bert-large=1", "--rate", "*=77777"]
    assert plan.main([*golden.OPTIONS, *flags, "--output", "json"]) == 0
    rates = {m["name"]: m["rate"] for m in json.loads(capsys.readouterr().out)["models"]}
    assert (rates["bert-large"], rates["gpunet-0"]) == (1, 400)


def test_an_artifacts_folder_will_do_for_profiles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bert-large").mkdir()
    profile = golden.EXAMPLE / "profiles" / "bert-large.json"
    (tmp_path / "bert-large" / "profile.json").write_text(profile.read_text())
    options = [*golden.OPTIONS, "--profiles", str(tmp_path), "--servers", "12", "--output", "json"]
    plan.main(options)
    found = {m["name"]: m["verdict"] for m in json.loads(capsys.readouterr().out)["models"]}
    assert found["bert-large"] == "Inside"
    assert found["gpunet-0"] == "NotMeasured"


def test_one_file_may_hold_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "all.yaml"
    models = list(yaml.safe_load_all((golden.EXAMPLE / "models.yaml").read_text()))
    pool = yaml.safe_load((golden.EXAMPLE / "pool.yaml").read_text())
    file.write_text(yaml.safe_dump_all([pool, models[0]]))
    profiles = str(golden.EXAMPLE / "profiles")
    assert plan.main(["-f", str(file), "--profiles", profiles, "--rate", "*=5"]) == 0
    assert "1 of 1 models on 1 server" in capsys.readouterr().out


def test_the_pools_own_price_and_shared_devices(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = yaml.safe_load((golden.EXAMPLE / "pool.yaml").read_text())
    pool["spec"]["pricePerHour"] = "2.5"
    pool["spec"]["accelerator"] |= {"sharing": "TimeSlicing", "replicas": 4, "memory": "18Gi"}
    file = tmp_path / "pool.yaml"
    file.write_text(yaml.safe_dump(pool))
    options = [*golden.OPTIONS[:-2], "--pool", str(file), "--output", "json"]
    plan.main(options)
    found = json.loads(capsys.readouterr().out)
    assert found["cost"]["pricePerHour"] == 2.5
    assert any("isolation none" in note for note in found["notes"])
    plan.main([*options, "--price", "1"])
    assert json.loads(capsys.readouterr().out)["cost"]["pricePerHour"] == 1


MODELS, POOL = ["-f", "examples/plan/models.yaml"], ["--pool", "examples/plan/pool.yaml"]
WRONG = {
    "no pool": (MODELS, "name the ServingPool with --pool"),
    "no such pool": ([*MODELS, "--pool", "x"], "--pool x: no file and no ServingPool"),
    "a file without a pool": ([*MODELS, "--pool", MODELS[1]], "must hold one ServingPool, not 0"),
    "no model": (POOL, "no model names the pool gpus in serving.poolRef; give models with -f"),
    "no traffic": ([*MODELS, *POOL], "no traffic of bert-4-layers"),
    "another's traffic": (
        [*MODELS, *POOL, "--rate", "x=1"],
        "traffic of x, which no model is called",
    ),
    "no folder": (
        [*MODELS, *POOL, "--rate", "*=1", "--profiles", "none"],
        "--profiles none: is no folder",
    ),
    "no file": (["-f", "none.yaml", *POOL], "none.yaml: No such file"),
    "another pool's models": (
        ["-f", "examples/digits.yaml", *POOL],
        "no model names the pool gpus in serving.poolRef; 1 name others",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_inputs_are_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, told = WRONG[name]
    assert plan.main(arguments) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert told in shown.err
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("option", [["--load", "0"], ["--servers", "0"], ["--price", "free"]])
def test_wrong_flags_are_usage(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        plan.main(option)
    assert "must be a" in capsys.readouterr().err
