"""Every page of the admin passes axe-core without a serious violation, in both colour schemes, and on a wide and a narrow screen."""

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
import unfold
from django.conf import settings

from tests.browser.conftest import Visit
from tests.browser.test_admin_journeys import PAGES
from tests.journeys.client import HttpClient
from tests.journeys.stack import Stack
from tests.records import record

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
# Contrast takes most of axe's time, and only colours decide it. Everything else depends on the width alone.
CONTRAST = "color-contrast"
TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]
RUN = (
    "([context, chosen, rules]) => axe.run(context ?? document, {runOnly: chosen, rules, resultTypes: ['violations']})"
)
STRUCTURE: list[Any] = [None, {"type": "tag", "values": TAGS}, {CONTRAST: {"enabled": False}}]
# Many elements of a page have the same colours, so one of each kind is looked at.
COLOURS: list[Any] = ["[data-contrast]", {"type": "rule", "values": [CONTRAST]}, {}]
ALL = [STRUCTURE, COLOURS]
MARK_ONE_OF_EACH_KIND = """() => {
  const grounds = new Map([[null, ""]]), kinds = new Set();
  for (const element of document.querySelectorAll("*")) {
    const style = getComputedStyle(element);
    const ground = [grounds.get(element.parentElement), style.backgroundColor, style.backgroundImage, style.opacity].join();
    grounds.set(element, ground);
    const hasText = [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim().length > 1);
    const kind = [ground, element.localName, style.color, style.fontSize, style.fontWeight, style.textShadow].join();
    delete element.dataset.contrast;
    if ((hasText || "value" in element) && !kinds.has(kind) && element.checkVisibility()) {
      kinds.add(kind);
      element.dataset.contrast = "";
    }
  }
}"""
# Whether a list is wider than the window, so that its last columns are hidden.
IS_CUT_OFF = "() => (document.querySelector('#result_list')?.getBoundingClientRect().right ?? 0) > innerWidth"
# Lists whose first row links to a different kind of page.
LISTS = (
    "/admin/ingest/batch/", "/admin/ingest/workspace/", "/admin/ingest/apikey/", "/admin/lake/record/",
    "/admin/lake/rejectedrecord/", "/admin/auth/user/",
)  # fmt: skip
# Pages that no other journey opens.
FURTHER_PAGES = ("/admin/lake/segment/", "/admin/ingest/product/", "/admin/ingest/project/", "/admin/password_change/")
# The templates of the theme that we override, and their only difference: the landmark, or how names are spelled.
OVERRIDES = {
    "unfold/helpers/header_title.html": (
        "{{ part.title|capfirst }}",
        (
            '<bdi>{# A row keeps its spelling: "batch_…" can be searched, "Batch_…" cannot. #}'
            "{% if forloop.counter < 3 %}{{ part.title|capfirst }}{% else %}{{ part.title }}{% endif %}</bdi>"
        ),
    ),
    "admin/base.html": ('<div id="main"', '<main id="main"'),
    "unfold/layouts/unauthenticated.html": ('<div class="w-full sm:w-96">', '<main class="w-full sm:w-96">'),
}


def filled(stack: Stack) -> HttpClient:
    """Returns a client whose data gives every list a row."""
    client = stack.new_client()
    client.settled(client.send([record(), record(project_ids=["proj-unknown"])]))
    return client


def serious(visited: Visit, runs: list[list[Any]] = ALL) -> list[tuple[str, str]]:
    """Returns rule and element of each serious or critical violation on the open page."""
    if not visited.page.evaluate("'axe' in window"):
        visited.page.evaluate(AXE)
    visited.page.evaluate(MARK_ONE_OF_EACH_KIND)
    found: list[dict[str, Any]] = [visited.page.evaluate(RUN, run) for run in runs]
    return [
        (violation["id"], node["html"][:200])
        for result in found
        for violation in result["violations"]
        if violation["impact"] in {"serious", "critical"}
        for node in violation["nodes"]
    ]


@pytest.mark.parametrize(
    ("scheme", "width", "runs"),
    [("light", 1440, ALL), ("dark", 1440, [COLOURS]), ("light", 390, [STRUCTURE])],
    ids=["light-1440", "dark-1440", "light-390"],
)
def test_admin_pages_have_no_serious_accessibility_violation(
    visit: Callable[..., Visit], stack: Stack, scheme: str, width: int, runs: list[list[Any]]
) -> None:
    filled(stack)
    visited = visit(scheme, bypass_csp=True)
    visited.page.set_viewport_size({"width": width, "height": 900})
    findings: dict[str, list[tuple[str, str]]] = {}
    for path in (*PAGES, *FURTHER_PAGES):
        visited.open(path)
        findings[path] = serious(visited, runs)
        if width == 1440 and visited.page.evaluate(IS_CUT_OFF):
            findings[path].append(("last-columns-cut-off", path))
    for path in LISTS:
        first = visited.open(path).locator("#result_list tbody a[href*='/change/']").first
        visited.open(str(first.get_attribute("href")))
        findings[f"{path}…/change/"] = serious(visited, runs)
    assert {path: found for path, found in findings.items() if found} == {}


def test_login_page_has_no_serious_accessibility_violation(visit: Callable[..., Visit]) -> None:
    visited = visit(bypass_csp=True)
    visited.page.context.clear_cookies()
    visited.open("/admin/login/?next=/admin/")
    assert serious(visited) == []


def test_pale_text_is_found_among_text_of_the_same_kind(visit: Callable[..., Visit]) -> None:
    visited = visit(bypass_csp=True)
    page = visited.open("/admin/login/")
    page.set_content(
        "<title>t</title><main><p>one<p>two<p style='color: #ccc'>three<div style='background: #444'><p>four</div></main>"
    )
    assert [element for _, element in serious(visited, [COLOURS])] == [
        '<p style="color: #ccc" data-contrast="">three</p>',
        '<p data-contrast="">four</p>',
    ]


@pytest.mark.parametrize("name", OVERRIDES)
def test_overridden_templates_differ_from_the_theme_in_one_place(name: str) -> None:
    theirs = Path(unfold.__file__).parent / "templates" / name
    ours = settings.BASE_DIR / "ingest" / "activity" / "templates" / name
    before, after = OVERRIDES[name]
    assert after in ours.read_text()
    assert ours.read_text().replace(after, before).replace("</main>", "</div>") == theirs.read_text(), (
        f"django-unfold {importlib.metadata.version('django-unfold')} has another {name}: copy it anew"
    )
