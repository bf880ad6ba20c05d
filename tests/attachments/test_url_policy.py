"""Which URLs and addresses downloads may use."""

import ipaddress

import pytest

from attachments.download_failures import DownloadFailed
from attachments.fetch import url_policy

FORBIDDEN = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.255.0.1", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.19.255.255",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "100.100.100.200",
    "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:8.8.8.8", "64:ff9b::7f00:1",
    "64:ff9b::808:808", "64:ff9b:1::1", "100::1", "2001::1", "2001:db8::1", "2002:7f00:1::1", "2002:808:808::1", "3fff::1",
    "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "100.63.255.255", "172.32.0.1", "223.255.255.255", "2606:4700::1111", "2a00:1450::1"]


@pytest.mark.parametrize("address", FORBIDDEN)
def test_non_public_address_is_forbidden(address: str) -> None:
    with pytest.raises(DownloadFailed, match="BLOCKED_ADDRESS") as caught:
        url_policy.check_address(address, 443, ())
    assert not caught.value.failure.is_transient


@pytest.mark.parametrize("address", PUBLIC)
def test_public_address_is_allowed(address: str) -> None:
    url_policy.check_address(address, 443, ())


@pytest.mark.parametrize("address", ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::a01:203"])
def test_operator_may_allow_a_network_with_any_port(address: str) -> None:
    url_policy.check_address(address, 22, (ipaddress.ip_network("10.0.0.0/8"),))
    with pytest.raises(DownloadFailed):
        url_policy.check_address(address, 22, (ipaddress.ip_network("10.0.0.0/16"),))


@pytest.mark.parametrize(
    ("port", "allowed"), [(80, True), (443, True), (1024, True), (65535, True), (22, False), (1023, False), (25, False)]
)
def test_only_ports_80_443_and_unprivileged_ports_are_allowed(port: int, allowed: bool) -> None:
    if allowed:
        url_policy.check_address("8.8.8.8", port, ())
    else:
        with pytest.raises(DownloadFailed, match="BLOCKED_PORT"):
            url_policy.check_address("8.8.8.8", port, ())


@pytest.mark.parametrize(
    "url",
    ["ftp://x.example/a", "file:///etc/passwd", "gopher://x", "//x.example", "x", "", "http://", "http://user@x.example/",
     "http://user:pw@x.example/", "http://x.example:0/", "http://x.example:99999/", "http://x.example:http/", "http://[::1/"],
)  # fmt: skip
def test_invalid_url_is_a_final_failure(url: str) -> None:
    with pytest.raises(DownloadFailed) as caught:
        url_policy.target(url)
    assert not caught.value.failure.is_transient


def test_host_of_a_url_includes_its_port() -> None:
    assert url_policy.host_of("https://Files.Example./a?b") == "files.example:443"
    assert url_policy.host_of("http://x.example:8080/") == "x.example:8080"
