"""Pods of Jobs in temporary folders."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.integration.optimize.harness import REQUEST, Pod

from tightship.optimize import access
from tightship.optimize.folders import Folders


@pytest.fixture(autouse=True)
def nothing_is_known_already(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever optimizes here begins with an empty cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def new_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Pod]:
    """Makes pods whose store is the folder `store`; file:// addresses are allowed."""
    monkeypatch.setenv(access.ALLOW_FILE_VARIABLE, "1")

    def make(name: str) -> Pod:
        folders = Folders(tmp_path / name)
        folders.source.mkdir(parents=True)
        request = replace(REQUEST, store_uri=f"file://{tmp_path}/store")
        return Pod(folders, request, monkeypatch)

    return make


@pytest.fixture
def pod(new_pod: Callable[[str], Pod]) -> Pod:
    return new_pod("pod")
