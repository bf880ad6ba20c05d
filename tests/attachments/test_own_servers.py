"""No download connects to our own servers, whatever networks are allowed and however the address is written."""

import ipaddress
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.conf import settings as configured

from attachments.download_failures import DownloadFailed
from attachments.fetch import own_servers
from attachments.fetch.dial import dial
from deploy.local.embedded import Servers
from ingest.models import Workspace
from lake import object_store
from tests.attachments.journey import file, run, send
from tests.attachments.vendor import Vendor
from tests.http_client import ApiClient

EVERYTHING = tuple(ipaddress.ip_network(text) for text in ("0.0.0.0/0", "::/0"))
ALIASES = ["127.0.0.1", "127.0.0.2", "127.255.255.254", "localhost", "0.0.0.0", "::ffff:127.0.0.1", "0", "127.1"]


@pytest.fixture(autouse=True)
def forget_resolved_servers(settings: Any) -> Iterator[None]:
    settings.EVERMUSE_ATTACHMENT_ALLOWED_NETWORKS = EVERYTHING
    own_servers._known.clear()
    yield
    own_servers._known.clear()


@pytest.fixture
def listener() -> Iterator[int]:
    """The port of a server on every address of this machine."""
    with socket.create_server(("0.0.0.0", 0)) as server:
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        yield server.getsockname()[1]


def _accept(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


def refusal(host: str, port: int) -> str:
    """Returns the code of the failure to connect, or an empty string after a connection."""
    try:
        dial(host, port).close()
    except DownloadFailed as failed:
        assert not failed.failure.is_transient or failed.failure.code != "BLOCKED_ADDRESS"
        return failed.failure.code
    return ""


def ports_of_settings() -> dict[str, int]:
    return {
        "database": int(configured.DATABASES["default"]["PORT"]),
        "rates": urlsplit(configured.REDIS_URL).port or 0,
        "store": int(configured.MINIO_ENDPOINT.rpartition(":")[2]),
    }


@pytest.mark.parametrize("name", ["database", "rates", "store"])
@pytest.mark.parametrize("host", ALIASES)
def test_download_never_connects_to_a_server_of_the_settings(servers: Servers, name: str, host: str) -> None:
    assert refusal(host, ports_of_settings()[name]) == "BLOCKED_ADDRESS"


@pytest.mark.parametrize("host", ALIASES)
def test_download_never_connects_to_a_server_that_the_operator_lists(settings: Any, listener: int, host: str) -> None:
    assert refusal(host, listener) == ""
    settings.EVERMUSE_OWN_SERVERS = [f"127.0.0.1:{listener}"]
    assert refusal(host, listener) == "BLOCKED_ADDRESS"


@pytest.mark.parametrize("setting", ["MINIO_PUBLIC_ENDPOINT", "MINIO_ROLE_ENDPOINT", "EVERMUSE_FLOWER_URL"])
def test_download_never_connects_to_the_public_store_or_flower(settings: Any, listener: int, setting: str) -> None:
    setattr(settings, setting, f"{'' if 'PUBLIC' in setting else 'http://'}localhost:{listener}")
    assert refusal("127.0.0.1", listener) == "BLOCKED_ADDRESS"


def test_download_may_connect_to_another_port_of_our_address(settings: Any, listener: int) -> None:
    settings.EVERMUSE_OWN_SERVERS = [f"127.0.0.1:{listener - 1}", "nowhere.invalid:1", "::1", "[::1]:99999", ""]
    assert refusal("127.0.0.1", listener) == ""


def test_own_server_given_by_name_is_resolved_when_a_download_connects(
    settings: Any, listener: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EVERMUSE_OWN_SERVERS = [f"db.internal:{listener}"]
    answers = {"db.internal": "10.9.8.7"}
    real = socket.getaddrinfo

    def resolve(host: Any, *args: Any, **options: Any) -> Any:
        return real(answers.get(host, host), *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(DownloadFailed, match="BLOCKED_ADDRESS"):
        own_servers.refuse("10.9.8.7", listener)
    own_servers.refuse("10.9.8.8", listener)
    own_servers.refuse("10.9.8.7", listener - 1)
    answers["db.internal"] = "10.9.8.8"
    own_servers._known.clear()
    with pytest.raises(DownloadFailed, match="BLOCKED_ADDRESS"):
        own_servers.refuse("10.9.8.8", listener)


def test_download_may_connect_to_a_public_address_that_also_serves_our_bucket(
    settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MINIO_ENDPOINT, settings.MINIO_SECURE = "s3.example.com", True
    monkeypatch.setitem(settings.DATABASES, "replica", {"HOST": "s3.example.com", "PORT": "6432"})
    address = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 443))
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args, **options: [address])
    own_servers.refuse("8.8.8.8", 443)
    with pytest.raises(DownloadFailed, match="BLOCKED_ADDRESS"):
        own_servers.refuse("8.8.8.8", 6432)


def test_redirect_of_a_vendor_to_our_store_is_rejected(
    servers: Servers, api: ApiClient, vendor: Vendor, workspace: Workspace
) -> None:
    object_store.ensure_bucket()
    ours = f"http://{configured.MINIO_ENDPOINT}/status"
    vendor.on("/moved", lambda e: e.answer(status="302 Found", Location=ours))
    batch_id = send(api, file(ours), file(vendor.url("/moved")))
    run(api, batch_id)
    rows = api.rows(batch_id, "attachments")
    assert [row["error"]["code"] for row in rows] == ["BLOCKED_ADDRESS"] * 2
    assert [row["state"] for row in rows] == ["FAILED"] * 2
    assert [len(row["attempts"]) for row in rows] == [1, 1]
