"""The admin's theme as plain values. Names, navigation and figures are computed when a page is requested."""

from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static


def _stylesheet(request: HttpRequest) -> str:
    return static("ingest/theme.css")


def _script(request: HttpRequest) -> str:
    return static("ingest/labels.js")


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Evermuse Ingest",
    "SITE_HEADER": "Evermuse Ingest",
    "SITE_SUBHEADER": "Operators",
    "SITE_SYMBOL": "move_to_inbox",
    "SITE_URL": None,
    "STYLES": [_stylesheet],
    "SCRIPTS": [_script],
    "DASHBOARD_CALLBACK": "ingest.activity.dashboard.context",
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": "evermuse.navigation.sections",
    },
}
