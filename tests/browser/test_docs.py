"""The documentation in a browser, without a login."""

from typing import TYPE_CHECKING

import pytest

from deploy.docs import pages
from tests.browser.conftest import Visit
from tests.browser.expecting import expect
from tests.browser.test_accessibility import ALL, COLOURS, STRUCTURE, serious
from tests.journeys.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_documentation_loads_nothing_from_other_hosts_and_logs_no_error(
    browser: "Browser", stack: Stack, scheme: str
) -> None:
    context = browser.new_context(color_scheme=scheme)  # type: ignore[arg-type]
    visited = Visit(context.new_page(), stack.url)
    visited.watch()
    for name in ("", *(f"{page}.html" for page in pages() if page != "index")):
        page = visited.open(f"/docs/{name}")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        assert (visited.strangers, visited.complaints) == ([], []), name
    context.close()


def test_search_of_the_documentation_finds_a_page(browser: "Browser", stack: Stack) -> None:
    context = browser.new_context()
    visited = Visit(context.new_page(), stack.url)
    visited.watch()
    page = visited.open("/docs/")
    page.get_by_role("textbox", name="Search").fill("idempotency")
    visited.leave(lambda: page.get_by_role("textbox", name="Search").press("Enter"))
    expect(page.locator("#search-results").get_by_role("link").first).to_be_visible()
    assert (visited.strangers, visited.complaints) == ([], [])
    context.close()


def test_narrow_documentation_page_scrolls_its_tables_only(browser: "Browser", stack: Stack) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 844})
    visited = Visit(context.new_page(), stack.url)
    for name in ("errors", "configure", "contract"):
        page = visited.open(f"/docs/{name}.html")
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, name
    context.close()


def test_documentation_has_no_serious_accessibility_violation(browser: "Browser", stack: Stack) -> None:
    """All pages share one frame, so its contrast on a narrow screen is looked at on the first page."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True)
    visited = Visit(context.new_page(), stack.url)
    for name in ("index", *(page for page in pages() if page != "index")):
        page = visited.open(f"/docs/{name}.html")
        assert serious(visited, ALL) == [], name
        page.emulate_media(color_scheme="dark")
        assert serious(visited, [COLOURS]) == [], name
        page.emulate_media(color_scheme="light")
        page.set_viewport_size({"width": 390, "height": 900})
        assert serious(visited, ALL if name == "index" else [STRUCTURE]) == [], name
        page.set_viewport_size({"width": 1440, "height": 900})
    context.close()
