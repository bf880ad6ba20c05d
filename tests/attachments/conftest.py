"""Fixtures of the attachment tests."""

import ssl
from collections.abc import Iterator

import pytest
import trustme

from attachments import fetching
from attachments.fetch import dial
from attachments.queue import claims
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
    """Deletes the objects that earlier tests left under ``attachments/``."""
    object_store.ensure_bucket()
    for key in objects():
        object_store.client().remove_object("evermuse-lake", key)


@pytest.fixture(autouse=True)
def forget_kept_downloads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forgets the downloads that a test could have resumed, because their rows are rolled back.

    Turns renewal of leases off as well: the renewing threads use their own connections, which do not see the
    test's transaction. The journeys test renewal with downloads that outlive their lease.
    """
    monkeypatch.setattr(Leases, "_renew", lambda self, held: None)
    monkeypatch.setattr(Keeper, "_renew", lambda self, keys: None)
    # Otherwise a slow download in a test's own thread would start another thread.
    monkeypatch.setattr(fetching.slots, "wake", lambda: None)
    yield
    keeper._kept.clear()


@pytest.fixture(autouse=True)
def take_new_hosts_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Takes new hosts in the order in which they came. Otherwise each claim draws lots between this order and its reverse."""
    monkeypatch.setattr(claims, "newest_first", lambda: False)
