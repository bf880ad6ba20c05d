"""Anchors of the documentation's pages, as its builder makes them of the headings."""

import re
from pathlib import Path

DOCUMENTS = Path(__file__).resolve().parent.parent / "evermuse" / "docs"


def exists(address: str) -> bool:
    """Whether ``/docs/PAGE.html#ANCHOR`` is a heading of a page."""
    page, _, anchor = address.removeprefix("/docs/").partition("#")
    text = (DOCUMENTS / page.replace(".html", ".md")).read_text()
    headings = {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in text.splitlines()
        if line.startswith("#")
    }
    return anchor in headings
