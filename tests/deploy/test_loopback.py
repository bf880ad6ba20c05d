"""HTTP requests to our own servers, whatever proxies the environment names."""

from collections.abc import Iterator

import pytest

from deploy.local import loopback
from tests.attachments.vendor import Vendor


@pytest.fixture
def server() -> Iterator[Vendor]:
    """An HTTP server on this host."""
    made = Vendor()
    yield made
    made.close()


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_local_requests_ignore_proxies_of_the_environment(
    server: Vendor, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    assert loopback.answers(server.on("/up", lambda exchange: exchange.answer(b"up")))


def test_error_status_or_refused_connection_counts_as_no_answer(server: Vendor) -> None:
    assert not loopback.answers(server.url("/nothing-there"))
    assert not loopback.answers("http://127.0.0.1:1/")
