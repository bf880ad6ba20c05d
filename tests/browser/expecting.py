"""Playwright's ``expect``, imported when it is used: every process of the tests imports these modules."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Locator


def expect(found: "Locator") -> Any:
    """Assertions that wait for a state of the page."""
    from playwright.sync_api import expect as original

    return original(found)
