"""The agent's environment: complete and right, or one sentence that says what to set."""

from pathlib import Path

import pytest

from tightship.agent.settings import SettingsError, read_settings

ENV = {
    "TIGHTSHIP_STORE_URI": "s3://bucket/store",
    "TIGHTSHIP_POOL": "shared",
    "TIGHTSHIP_MEMORY_LIMIT": "1000",
    "TIGHTSHIP_ACCELERATOR": "nvidia.com/gpu",
    "POD_NAME": "pod-1",
    "POD_IP": "10.0.0.7",
}


def test_the_pods_environment_is_enough() -> None:
    settings = read_settings([], ENV)
    assert settings.memory_limit == 1000
    assert settings.host == "10.0.0.7"
    assert settings.accelerator == "nvidia.com/gpu"
    assert (settings.models, settings.state) == (Path("/models"), Path("/state"))
    assert (settings.triton, settings.triton_metrics) == ("127.0.0.1:8000", "127.0.0.1:8002")
    assert (settings.api_port, settings.probe_port) == (8443, 8444)


@pytest.mark.parametrize(("told", "shared"), [("true", True), ("", False)])
def test_whether_others_are_on_the_device(told: str, *, shared: bool) -> None:
    env = {**ENV, "TIGHTSHIP_DEVICE_SHARED": told}
    assert read_settings([], env).device_shared is shared
    assert not read_settings([], ENV).device_shared


def test_flags_name_other_places() -> None:
    settings = read_settings(["--models=/m", "--api-port=1"], ENV)
    assert (settings.models, settings.api_port) == (Path("/m"), 1)


@pytest.mark.parametrize(
    "missing", ["TIGHTSHIP_STORE_URI", "TIGHTSHIP_POOL", "TIGHTSHIP_MEMORY_LIMIT", "POD_IP"]
)
def test_what_is_missing_is_named(missing: str) -> None:
    with pytest.raises(SettingsError, match=f"{missing} is missing"):
        read_settings([], {name: value for name, value in ENV.items() if name != missing})


@pytest.mark.parametrize("limit", ["12Gi", "-1", "1.5"])
def test_a_limit_that_is_no_number(limit: str) -> None:
    with pytest.raises(SettingsError, match="number of bytes"):
        read_settings([], {**ENV, "TIGHTSHIP_MEMORY_LIMIT": limit})
