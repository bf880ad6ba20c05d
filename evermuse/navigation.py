"""The admin's sidebar. A page is shown if it exists and the login may view it."""

from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils.module_loading import import_string

# Section → (title, icon, app and model). Pages that no app registers are left out.
PAGES: dict[str, list[tuple[str, str, str]]] = {
    "Pipeline": [
        ("Batches", "inbox", "ingest.batch"),
        ("Problems", "report", "problems.problem"),
        ("Jobs", "play_circle", "problems.job"),
        ("Alerts", "notifications", "problems.alert"),
        ("Records", "description", "lake.record"),
        ("Rejected records", "rule", "lake.rejectedrecord"),
        ("Segments", "inventory_2", "lake.segment"),
        ("Attachments", "attach_file", "attachments.attachment"),
        ("Vendor hosts", "dns", "attachments.vendorhost"),
    ],
    "Clients": [
        ("Workspaces", "domain", "ingest.workspace"),
        ("Products", "category", "ingest.product"),
        ("Projects", "folder", "ingest.project"),
        ("API keys", "key", "ingest.apikey"),
    ],
    "Administration": [
        ("Users", "person", "auth.user"),
        ("Groups", "group", "auth.group"),
        ("Audit log", "history", "admin.logentry"),
    ],
}
# Functions that return the text beside a title, by app and model. They belong to layers above this one.
BADGES = {"problems.problem": "ingest.problems.selectors.open_count"}


def sections(request: HttpRequest) -> list[dict[str, Any]]:
    """Unfold's navigation for this login."""
    overview = [{"title": "Overview", "icon": "monitoring", "link": reverse("admin:index")}]
    found: list[dict[str, Any]] = [{"title": "Overview", "items": overview}]
    for title, pages in PAGES.items():
        items = [
            {"title": name, "icon": icon, "link": link, **_badge(request, model)}
            for name, icon, model in pages
            if (link := changelist(request, model))
        ]
        found.append({"title": title, "separator": True, "items": items})
    elsewhere = [
        {
            "title": "Flower: queues and tasks",
            "icon": "local_florist",
            "link": settings.EVERMUSE_FLOWER_URL,
            "active": False,
        },
        {"title": "Documentation", "icon": "menu_book", "link": "/docs/", "active": False},
        {"title": "API description", "icon": "api", "link": "/api/v1/docs", "active": False},
    ]
    found.append({"title": "Elsewhere", "separator": True, "items": elsewhere})
    return [section for section in found if section["items"]]


def _badge(request: HttpRequest, model: str) -> dict[str, str]:
    text = import_string(BADGES[model])(request) if model in BADGES else ""
    # Without a text the theme would draw an empty box.
    return {"badge": text} if text else {}


def changelist(request: HttpRequest, model: str) -> str | None:
    """The URL of a model's list (``app.model``), or None if there is no such page or the login may not view it."""
    app, _, name = model.partition(".")
    if not (request.user.has_perm(f"{app}.view_{name}") or request.user.has_perm(f"{app}.change_{name}")):
        return None
    try:
        return reverse(f"admin:{app}_{name}_changelist")
    except NoReverseMatch:
        return None
