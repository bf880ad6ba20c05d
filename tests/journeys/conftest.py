"""Fixtures of the journeys: a client and a vendor."""

from collections.abc import Iterator

import pytest

from tests.attachments.vendor import Vendor
from tests.journeys.client import HttpClient
from tests.journeys.stack import Stack, until


@pytest.fixture
def client(stack: Stack) -> HttpClient:
    """A client without a rate limit in a new workspace, once the workers have landed all batches of earlier tests."""
    landing = "SELECT count(*) FROM ingest_batch WHERE status = 'LANDING'"
    until(lambda: stack.rows(landing) == [(0,)], "every batch of earlier tests has landed")
    return stack.new_client()


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A server for attachments."""
    vendor = Vendor()
    yield vendor
    vendor.close()
