"""The documentation as it is built."""

from pathlib import Path

import pytest

from deploy import docs


@pytest.fixture(scope="session")
def site() -> Path:
    """The directory of the documentation as the product serves it, up to date."""
    docs.build()
    return docs.SITE / "web" / "docs"
