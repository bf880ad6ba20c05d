"""The overview's two rankings: why records were rejected, and from which hosts files come or do not."""

from collections import Counter
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest

from evermuse.navigation import changelist
from ingest.activity import pointers, selectors, wording
from ingest.activity.models import Metric
from ingest.activity.selectors import Figures

TOP = 10


def reasons(figures: Figures, *, sees_payloads: bool) -> list[dict[str, str]]:
    """The most frequent reasons of rejection, with names of clients' own fields only for those who may see payloads."""
    found: Counter[tuple[str, str]] = Counter()
    for label, n in figures.labels.get(Metric.REJECTED_REASON, {}).items():
        code, _, pointer = label.partition(" ")
        found[code, pointer if sees_payloads else pointers.without_client_names(pointer)] += n
    top = sorted(((n, key) for key, n in found.items() if n > 0), key=lambda one: (-one[0], one[1]))[:TOP]
    rejected = figures.total(Metric.RECORDS_REJECTED)
    return [
        {"code": code, "pointer": pointer, "count": wording.number(n), "share": wording.share(n, rejected)}
        for n, (code, pointer) in top
    ]


def hosts(request: HttpRequest, figures: Figures) -> list[dict[str, Any]]:
    """The hosts of attachments with the most failed downloads."""
    failures: dict[str, dict[str, int]] = {}
    for label, n in figures.labels.get(Metric.DOWNLOAD_FAILURES, {}).items():
        # The label of all further hosts together is one word. An upload has no host, but has a code.
        host, is_one_host, code = label.rpartition(" ")
        failures.setdefault(host if is_one_host else code, {})[code if is_one_host else ""] = n
    files, sizes = figures.labels.get(Metric.FILES, {}), figures.labels.get(Metric.FILE_BYTES, {})
    hosts = sorted({*files, *failures}, key=lambda h: (-sum(failures.get(h, {}).values()), -sizes.get(h, 0), h))[:TOP]
    conditions = selectors.conditions(hosts)
    base = changelist(request, "attachments.vendorhost")
    return [
        {
            "host": host or "uploaded by clients",
            "link": f"{base}?{urlencode({'q': host})}" if base and host and host != "other" else None,
            "files": wording.number(files.get(host, 0)),
            "size": wording.size(sizes.get(host, 0)),
            "failures": wording.number(sum(failures.get(host, {}).values())),
            "codes": ", ".join(f"{c} {n:,}" for c, n in sorted(failures.get(host, {}).items(), key=lambda o: -o[1])[:3] if c),
            "condition": conditions.get(host, ""),
        }
        for host in hosts
    ]  # fmt: skip
