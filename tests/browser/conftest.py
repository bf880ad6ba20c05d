"""A real browser on the real stack, logged in, which records its requests to other hosts and its errors."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.journeys.stack import Stack

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
USERNAME, PASSWORD = "operations", "a-password-of-the-journeys"


@dataclass
class Visit:
    """A page with a logged-in user, and what went wrong on it."""

    page: "Page"
    url: str
    strangers: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Records requests to other hosts, and errors."""
        self.page.on("request", self._note_request)
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))

    def _note_request(self, request: "Request") -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob"} and parts.hostname != "127.0.0.1":
            self.strangers.append(request.url)

    def _note_console(self, message: "ConsoleMessage") -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} {message.location.get('url', '')}")

    def open(self, path: str) -> "Page":
        """Opens a path of the stack."""
        self.page.goto(f"{self.url}{path}")
        return self.page

    def leave(self, by: Callable[[], object]) -> None:
        """Performs an action that leads to another page, and waits for it to load; otherwise it would interrupt `open`."""
        with self.page.expect_navigation():
            by()


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    """The system's Chromium, for one module: while it is open, its event loop blocks any other one of the thread."""
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is not there: install the chromium package to run the browser's journeys")
    from playwright.sync_api import sync_playwright  # half a second, in the one process that opens it

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def operator(running_stack: Stack) -> None:
    """A user who may see everything."""
    login = (
        "from django.contrib.auth.models import User; "
        f"User.objects.create_superuser(username={USERNAME!r}, password={PASSWORD!r})"
    )
    running_stack._manage("shell", "--no-imports", "-c", login)


@pytest.fixture
def visit(browser: "Browser", stack: Stack, operator: None) -> Iterator[Callable[..., Visit]]:
    """Logs in and returns a visit: ``visit(scheme="dark")``."""
    contexts = []

    def make(scheme: str = "light", *, bypass_csp: bool = False) -> Visit:
        context = browser.new_context(color_scheme=scheme, bypass_csp=bypass_csp)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        made = Visit(page, stack.url)
        made.watch()
        made.open("/admin/")
        page.fill("[name=username]", USERNAME)
        page.fill("[name=password]", PASSWORD)
        made.leave(lambda: page.press("[name=password]", "Enter"))
        page.wait_for_url(f"{stack.url}/admin/")
        return made

    yield make
    for context in contexts:
        context.close()
