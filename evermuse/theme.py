"""The admin's theme, plain values: names, navigation and the index page's figures are looked up when a page is asked for."""

from typing import Any

UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Evermuse Ingest",
    "SITE_HEADER": "Evermuse Ingest",
    "SITE_SUBHEADER": "Operators",
    "SITE_SYMBOL": "move_to_inbox",
    "SITE_URL": None,
    "DASHBOARD_CALLBACK": "ingest.activity.dashboard.context",
    "SIDEBAR": {
        "show_search": False,
        "show_all_applications": False,
        "navigation": "evermuse.navigation.sections",
    },
}
