"""The client address of a request, with and without proxies."""

from collections.abc import Iterator
from ipaddress import ip_network

import pytest
from django.test import override_settings

from evermuse.web.addresses import ClientCounts, client_of, counted_as, is_proxy


@pytest.fixture
def proxies() -> Iterator[None]:
    with override_settings(EVERMUSE_TRUSTED_PROXIES=(ip_network("10.0.0.0/8"),)):
        yield


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.5", b"1.2.3.4", "203.0.113.5"),
        ("10.0.0.1", b"1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", b"9.9.9.9, 1.2.3.4", "1.2.3.4"),
        ("10.0.0.1", b"9.9.9.9, 1.2.3.4, 10.0.0.2", "1.2.3.4"),
        ("10.0.0.1", b"1.2.3.4, unknown", "10.0.0.1"),
        ("10.0.0.1", b"10.0.0.7", "10.0.0.7"),
        ("10.0.0.1", b"", "10.0.0.1"),
        ("::ffff:10.0.0.1", b"1.2.3.4", "1.2.3.4"),
    ],
)
def test_forwarded_address_is_trusted_from_a_configured_proxy_only(
    proxies: None, peer: str, forwarded: bytes, client: str
) -> None:
    assert client_of(peer, [forwarded] if forwarded else []) == client


def test_forwarded_address_is_ignored_without_configured_proxies() -> None:
    assert client_of("127.0.0.1", [b"1.2.3.4"]) == "127.0.0.1"
    assert not is_proxy("127.0.0.1")


@pytest.mark.parametrize(
    ("address", "client"),
    [("1.2.3.4", "1.2.3.4"), ("::ffff:1.2.3.4", "1.2.3.4"), ("2001:db8::1:2:3:4", "2001:db8::/64"), ("", "")],
)
def test_clients_are_counted_by_ipv4_address_or_ipv6_64_network(address: str, client: str) -> None:
    assert counted_as(address) == client


def test_closed_connection_frees_a_place_for_the_same_client() -> None:
    counts = ClientCounts(1)
    assert counts.enter("a") and counts.enter("b")
    assert not counts.enter("a")
    counts.leave("a")
    assert counts.enter("a")
