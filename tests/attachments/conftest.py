"""Fixtures of the attachment tests."""

import ssl
from collections.abc import Iterator

import pytest
import trustme

from attachments import fetching
from attachments.fetch import dial
from attachments.queue.claim_leases import Leases
from attachments.resumption import Keeper, keeper
from deploy.local.embedded import Servers
from lake import object_store
from tests.attachments import vendor as vendors
from tests.attachments.journey import objects
from tests.attachments.vendor import Vendor


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A vendor's server."""
    with vendors.running() as server:
        yield server


@pytest.fixture
def secure_vendor(vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> Vendor:
    """A vendor behind TLS, with a certificate that is trusted."""
    authority = trustme.CA()
    trusted, vendor.tls = ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.configure_trust(trusted)
    authority.issue_cert("127.0.0.1").configure_cert(vendor.tls)
    monkeypatch.setattr(dial, "_trust", lambda: trusted)
    return vendor


@pytest.fixture
def empty_store(servers: Servers) -> None:
    """No attachment's object is left from another test."""
    object_store.ensure_bucket()
    for key in objects():
        object_store.client().remove_object("evermuse-lake", key)


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test's downloads left to be resumed is forgotten: its rows are gone.

    And nothing is renewed: the threads that do it have connections of their own, which do not see a test's transaction.
    Renewal is seen in the journeys, where downloads outlive their lease.
    """
    monkeypatch.setattr(Leases, "_renew", lambda self, held: None)
    monkeypatch.setattr(Keeper, "_renew", lambda self, keys: None)
    # A slow download of a test's own thread begins no thread beside it.
    monkeypatch.setattr(fetching.slots, "wake", lambda: None)
    yield
    keeper._kept.clear()
