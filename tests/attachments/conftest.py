"""Fixtures of the attachment tests."""

from collections.abc import Iterator

import pytest

from tests.attachments import vendor as vendors
from tests.attachments.vendor import Vendor


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """A vendor's server."""
    with vendors.running() as server:
        yield server
