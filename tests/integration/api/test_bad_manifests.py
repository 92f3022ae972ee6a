"""The corpus of bad resources: refused by the API server in plain words, or left to the status."""

import json
import subprocess

import pytest
from tests.support import corpus
from tests.support.apiserver import ApiServer
from tests.support.corpus import BadManifest


def _create(apiserver: ApiServer, case: BadManifest) -> str:
    return apiserver.kubectl(
        *("create", "--dry-run=server", "--validate=strict", "--filename=-"),
        stdin=json.dumps(case.resource),
    )


def test_there_are_enough() -> None:
    assert len(corpus.manifests()) >= 40
    assert {case.refused_by for case in corpus.manifests()} == {"api-server", "status"}


@pytest.mark.parametrize("case", corpus.manifests("api-server"), ids=lambda case: case.name)
def test_refused_in_plain_words(apiserver: ApiServer, case: BadManifest) -> None:
    with pytest.raises(subprocess.CalledProcessError) as refused:
        _create(apiserver, case)
    assert case.says in refused.value.stderr


@pytest.mark.parametrize("case", corpus.manifests("status"), ids=lambda case: case.name)
def test_only_the_status_can_tell(apiserver: ApiServer, case: BadManifest) -> None:
    assert case.reason
    assert "created" in _create(apiserver, case)
