"""Which hosts may be reached, and every spelling that must not slip by."""

import ipaddress
import socket

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tightship.storage import HostPolicy, StorageError, normalise_host
from tightship.storage.errors import HOST_NOT_ALLOWED, INVALID_URI, SOURCE_UNREACHABLE
from tightship.storage.hosts import PinningResolver

NAMES = st.from_regex(r"\A[a-z][a-z0-9-]{0,10}[a-z](\.[a-z]{2,6}){0,2}\Z")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("127.0.0.1", "127.0.0.1"),
        ("127.1", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("0x7F.1", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("169.254.43518", "169.254.169.254"),
        ("0", "0.0.0.0"),  # noqa: S104 (an address to be recognised)
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ("::ffff:7f00:1", "127.0.0.1"),
        ("[0:0:0:0:0:0:0:1]", "::1"),
        ("[FD00::0007]", "fd00::7"),
        ("minio.store.svc.cluster.local", "minio.store.svc.cluster.local"),
        ("under_score", "under_score"),
    ],
)
def test_one_spelling_for_each_host(host: str, expected: str) -> None:
    assert normalise_host(host) == expected


@pytest.mark.parametrize(
    "host",
    [
        "",
        ".",
        "a..b",
        "ex\u00e4mple.com",
        "127.0.0.1%25eth0",
        "[fe80::1%eth0]",
        "256.1.1.1",
        "1.2.3.4.5",
        "0x1ffffffff",
        "08.0.0.1",
        "a b",
        "a/b",
        "user@host",
        "[::1",
        "-a.com",
        "\u2488.example",
        "a" * 254,
    ],
)
def test_what_is_no_host_is_refused(host: str) -> None:
    with pytest.raises(StorageError) as caught:
        normalise_host(host)
    assert caught.value.reason == INVALID_URI


@given(st.integers(0, 2**32 - 1), st.sampled_from(["d", "x", "o", "parts", "mapped"]))
def test_every_spelling_of_an_ipv4_address_is_the_same_host(value: int, form: str) -> None:
    address = ipaddress.IPv4Address(value)
    first, *rest = str(address).split(".")
    spelled = {
        "d": str(value),
        "x": hex(value),
        "o": f"0{value:o}" if value else "0",
        "parts": ".".join([hex(int(first)), *(f"0{int(part):o}" for part in rest)]),
        "mapped": f"[::ffff:{address}]",
    }[form]
    assert normalise_host(spelled) == str(address)


@given(st.text(alphabet="0123456789abcdefx.", min_size=1, max_size=20))
def test_whatever_the_c_library_takes_for_an_address_is_one_here(text: str) -> None:
    try:
        expected = socket.inet_ntoa(socket.inet_aton(text))
    except OSError:
        return
    assume(not text.endswith("x"))  # the C library's "0x" without digits
    assert normalise_host(text) == expected


@given(NAMES)
def test_normalising_twice_changes_nothing(name: str) -> None:
    assert normalise_host(normalise_host(name.upper())) == normalise_host(name)


@pytest.mark.parametrize(
    ("allowed", "host", "port"),
    [
        ("example.com", "EXAMPLE.com.", 443),
        ("example.com", "example.com", 9000),
        ("example.com:9000", "example.com", 9000),
        ("*.example.com", "a.b.example.com", 443),
        ("*.example.com:9000", "a.example.com", 9000),
        ("127.0.0.1", "2130706433", 80),
        ("[fd00::7]:443", "fd00:0::7", 443),
        ("fd00::7", "[fd00::7]", 1),
        ("10.0.0.7:9000", "10.7", 9000),
    ],
)
def test_listed_hosts_are_allowed(allowed: str, host: str, port: int) -> None:
    assert HostPolicy.of(allowed).check(host, port) == normalise_host(host)


@pytest.mark.parametrize(
    ("allowed", "host", "port"),
    [
        ("example.com", "notexample.com", 443),
        ("example.com", "a.example.com", 443),
        ("example.com", "example.com.evil.org", 443),
        ("example.com:9000", "example.com", 443),
        ("*.example.com", "example.com", 443),
        ("*.example.com", "evilexample.com", 443),
        ("*.example.com:9000", "a.example.com", 443),
        ("10.0.0.7", "10.0.0.8", 443),
        ("example.com", "169.254.169.254", 80),
        ("*.1.2.com", "3.4.1.2", 80),
    ],
)
def test_all_others_are_refused(allowed: str, host: str, port: int) -> None:
    with pytest.raises(StorageError) as caught:
        HostPolicy.of(allowed).check(host, port)
    assert caught.value.reason == HOST_NOT_ALLOWED
    assert normalise_host(host) in caught.value.message
    assert not caught.value.retryable


@given(NAMES, st.integers(1, 65535))
def test_an_empty_list_allows_nothing(name: str, port: int) -> None:
    with pytest.raises(StorageError):
        HostPolicy().check(name, port)


@given(NAMES, NAMES)
def test_a_pattern_covers_exactly_the_names_below(suffix: str, name: str) -> None:
    policy = HostPolicy.of(f"*.{suffix}")
    assert policy.check(f"{name}.{suffix}", 443)
    for other in (suffix, f"{name}{suffix}"):
        if not other.endswith(f".{suffix}"):
            with pytest.raises(StorageError):
                policy.check(other, 443)


@pytest.mark.parametrize("entry", ["*", "*.", "a*.com", "*.1.2.3.4", "host:0", "host:x", "", "a b"])
def test_a_list_with_nonsense_is_refused(entry: str) -> None:
    with pytest.raises(ValueError, match="allowed host"):
        HostPolicy.of(entry)


@pytest.mark.parametrize("address", ["169.254.169.254", "127.0.0.1", "::1", "fe80::1", "0.0.0.0"])  # noqa: S104
def test_a_listed_name_must_not_lead_to_the_pod_itself_or_the_metadata_server(address: str) -> None:
    with pytest.raises(StorageError) as caught:
        HostPolicy.of("example.com").check_address("example.com", address, 443)
    assert caught.value.reason == HOST_NOT_ALLOWED
    HostPolicy.of("example.com", address).check_address("example.com", address, 443)


def test_a_listed_name_may_lead_to_a_private_address() -> None:
    HostPolicy.of("minio.store.svc").check_address("minio.store.svc", "10.96.3.4", 9000)


async def test_the_resolver_gives_the_checked_addresses_only() -> None:
    found = await PinningResolver(HostPolicy.of("localhost")).resolve("localhost", 9000)
    assert {each["host"] for each in found} <= {"127.0.0.1", "::1"}
    assert {each["port"] for each in found} == {9000}


async def test_the_resolver_refuses_names_that_are_not_listed() -> None:
    with pytest.raises(StorageError) as caught:
        await PinningResolver(HostPolicy.of("example.com")).resolve("localhost", 80)
    assert caught.value.reason == HOST_NOT_ALLOWED


async def test_a_name_without_address_may_be_tried_again() -> None:
    with pytest.raises(StorageError) as caught:
        await PinningResolver(HostPolicy.of("no-such.invalid")).resolve("no-such.invalid", 80)
    assert caught.value.reason == SOURCE_UNREACHABLE
    assert caught.value.retryable
