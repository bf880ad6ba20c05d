"""`make docs-settings`: writes the table of settings into the page on configuration.

The descriptions are where `evermuse.env` reads the settings. A test compares the page with `tables`.
"""

import re
import sys
from collections.abc import Iterable

import evermuse.celery
import evermuse.settings  # noqa: F401  (both are imported for the settings that they read)
from deploy.docs import SOURCES
from evermuse import setting_table
from evermuse.setting_table import Setting

PAGE = SOURCES / "configure.md"
_PLACE = re.compile(r"(?<=<!-- settings -->\n).*?(?=<!-- end of settings -->)", re.DOTALL)
RETENTION = "_RETENTION_"
# Headings with the beginnings of the names below them. The first match counts.
GROUPS = (
    ("Servers", ("DATABASE_", "CELERY_", "REDIS_")),
    ("Object store", ("MINIO_",)),
    ("Web", ("EVERMUSE_ALLOWED_", "EVERMUSE_ANSWER_", "EVERMUSE_BODY_", "EVERMUSE_CONNECTIONS_", "EVERMUSE_CSRF_",
             "EVERMUSE_DATABASE_", "EVERMUSE_HEAD_", "EVERMUSE_HTTPS", "EVERMUSE_KEEP_", "EVERMUSE_PORT", "EVERMUSE_RATE_", "EVERMUSE_READER_",
             "EVERMUSE_STREAM", "EVERMUSE_TRUSTED_", "EVERMUSE_WEB_")),
    ("Attachments and uploads", ("EVERMUSE_ATTACHMENT_", "EVERMUSE_DOWNLOAD_", "EVERMUSE_UPLOAD_")),
    ("Alerts and mail", ("EVERMUSE_ALERT_", "EVERMUSE_EMAIL_", "EVERMUSE_PROBLEM_")),
    ("Logs and metrics", ("EVERMUSE_LOG_", "EVERMUSE_METRICS_")),
    ("Retention", (RETENTION,)),
    ("Everything else", ("EVERMUSE_",)),
)  # fmt: skip


def tables(settings: Iterable[Setting]) -> str:
    """The settings as Markdown, with a heading and a table for each group."""
    grouped: dict[str, list[Setting]] = {heading: [] for heading, _ in GROUPS}
    for setting in sorted(settings):
        # The name of such a setting begins with the kind of row.
        name = RETENTION if RETENTION in setting.name else setting.name
        heading = next(heading for heading, beginnings in GROUPS if name.startswith(beginnings))
        grouped[heading].append(setting)
    parts = []
    for heading, found in grouped.items():
        if found:
            rows = [f"| `{one.name}` | {one.kind} | {_default(one)} | {one.help} | {one.read_by} |" for one in found]
            head = ["| setting | value | default | meaning | read by |", "|---|---|---|---|---|"]
            parts.append("\n".join([f"### {heading}", "", *head, *rows]))
    return "\n" + "\n\n".join(parts) + "\n\n"


def _default(setting: Setting) -> str:
    return setting.shown if setting.shown is not None else f"`{setting.default}`" if setting.default else "empty"


def page() -> str:
    """The page with a current table."""
    return _PLACE.sub(lambda _: tables(setting_table.rows()), PAGE.read_text())


def main() -> int:
    """Write the page, and return the exit code."""
    PAGE.write_text(page())
    print(f"{len(setting_table.rows())} settings are described.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
