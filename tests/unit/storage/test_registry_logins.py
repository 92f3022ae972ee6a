"""Logins of a docker-registry Secret, and challenges of registries."""

import base64
import json

import pytest

from tightship.storage import Credentials, StorageError
from tightship.storage.dockerconfig import Login, login_for, parse_logins
from tightship.storage.errors import INVALID_CREDENTIALS
from tightship.storage.registryauth import Challenge, parse_challenges


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


CONFIG = json.dumps(
    {
        "auths": {
            "https://index.docker.io/v1/": {"auth": base64.b64encode(b"hub:p:w").decode()},
            "ghcr.io": {"username": "u", "password": "one"},
            "ghcr.io/team": {"username": "u", "password": "two"},
            "https://Registry.example.com:5000": {"identitytoken": "refresh"},
            "r.example.com:443/v2/": {"registrytoken": "bearer"},
            "empty.example.com": {},
        },
        "credHelpers": {"x": "y"},
    }
)

PLACES = {
    ("docker.io", "library/x"): Login(basic=basic("hub", "p:w")),
    ("registry-1.docker.io", "x"): Login(basic=basic("hub", "p:w")),
    ("ghcr.io", "x"): Login(basic=basic("u", "one")),
    ("ghcr.io", "team/x"): Login(basic=basic("u", "two")),
    ("ghcr.io", "teamster/x"): Login(basic=basic("u", "one")),
    ("ghcr.io:5000", "x"): None,
    ("ghcr.io.example.com", "x"): None,
    ("registry.example.com:5000", "x"): Login(identity_token="refresh"),
    ("r.example.com", "x"): Login(registry_token="bearer"),
    ("empty.example.com", "x"): Login(),
}


@pytest.mark.parametrize("place", PLACES, ids="/".join)
def test_the_login_of_a_repository(place: tuple[str, str]) -> None:
    assert login_for(parse_logins(CONFIG), *place) == PLACES[place]


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"auths": []}', '{"auths": {"x": "canary"}}', "[" * 100_000),
        '{"auths": {"x": {"auth": "canary!"}}}',
        '{"auths": {"x": {"identitytoken": "a\\nb"}}}',
        '{"auths": {"x": {"registrytoken": 5}}}',
    ],
    ids=lambda text: text[:40],
)
def test_what_is_no_docker_configuration(text: str) -> None:
    with pytest.raises(StorageError) as caught:
        parse_logins(text)
    assert caught.value.reason == INVALID_CREDENTIALS
    assert "canary" not in str(caught.value)


def test_nothing_of_a_login_is_shown() -> None:
    credentials = Credentials.from_mapping({".dockerconfigjson": CONFIG})
    assert set(credentials.logins) >= {"docker.io", "ghcr.io", "ghcr.io/team"}
    assert "refresh" not in repr(credentials)
    assert "Basic" not in repr(credentials)


@pytest.mark.parametrize(
    ("header", "challenges"),
    [
        (
            'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="a:b,c"',
            (
                Challenge(
                    "bearer",
                    {
                        "realm": "https://auth.docker.io/token",
                        "service": "registry.docker.io",
                        "scope": "a:b,c",
                    },
                ),
            ),
        ),
        ("BASIC Realm=x", (Challenge("basic", {"realm": "x"}),)),
        ('Basic realm="a, b"', (Challenge("basic", {"realm": "a, b"}),)),
        ("", ()),
        ("Negotiate", ()),
    ],
)
def test_challenges(header: str, challenges: tuple[Challenge, ...]) -> None:
    assert parse_challenges([header]) == challenges
