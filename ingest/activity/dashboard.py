"""The admin's overview: its figures as a page, as fragments for the refresh, and as numbers."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from evermuse import roles
from evermuse.navigation import changelist
from ingest.activity import charts, notices, rankings, selectors, surroundings, wording
from ingest.activity.health import OK
from ingest.activity.models import Metric
from ingest.activity.selectors import MAX_COUNTED, PERIODS, Figures, Period, Standing
from ingest.activity.surroundings import Surroundings
from ingest.models import Batch, RetentionRun, Workspace
from ingest.pipeline import detail
from lake.journal import writing as journal

PARTS = ("notices", "cards", "statuses", "reasons", "hosts", "retention", "surroundings", "counted")
# A kind whose retention last ran longer ago than this is marked.
LATE_RETENTION_SECONDS = 3600
# The journal is written every five seconds.
SHOWN_JOURNAL_SECONDS = 15


@dataclass(frozen=True, slots=True)
class Choice:
    """The period and the workspace that the page shows."""

    period: Period
    workspace: Workspace | None

    @property
    def workspace_id(self) -> int | None:
        """None for all workspaces."""
        return self.workspace.pk if self.workspace else None

    def query(self, **changes: str) -> str:
        """The page's query string with these parameters changed."""
        named = {"period": self.period.key, "workspace": str(self.workspace_id or "")} | changes
        return urlencode({name: value for name, value in named.items() if value})


def context(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's hook: the context of the index page.

    It asks PostgreSQL only. The servers that might hang are asked by the first refresh.
    """
    choice = _choice(request)
    found = _figures(request, choice)
    return context | found | {
        "title": "Overview",
        "periods": [
            {"title": p.title, "query": choice.query(period=p.key), "is_current": p == choice.period}
            for p in PERIODS.values()
        ],
        "workspaces": Workspace.objects.only("name"),
        "refresh_url": f"{reverse('overview')}?{choice.query()}",
        "is_empty": not found["numbers"]["batches"] and not Batch.objects.exists(),
        "api_key_url": changelist(request, "ingest.apikey"),
    }  # fmt: skip


def refreshed(request: HttpRequest) -> dict[str, Any]:
    """All figures again, with servers, queues and workers. Takes at most about two seconds if one of these hangs."""
    choice = _choice(request)
    found = _figures(request, choice, surroundings.Asked())
    return {
        "figures": found["numbers"],
        "charts": found["charts"],
        "parts": {name: render_to_string(f"activity/{name}.html", found) for name in PARTS},
        "tables": {one["name"]: render_to_string("activity/table.html", {"table": one}) for one in found["tables"]},
    }


def _choice(request: HttpRequest) -> Choice:
    period = PERIODS.get(request.GET.get("period", ""), PERIODS["1h"])
    wanted = request.GET.get("workspace", "")
    is_id = wanted.isascii() and wanted.isdigit() and len(wanted) < 19
    return Choice(period, Workspace.objects.filter(pk=int(wanted)).first() if is_id else None)


def _figures(request: HttpRequest, choice: Choice, asked: surroundings.Asked | None = None) -> dict[str, Any]:
    now, workspace_id = timezone.now(), choice.workspace_id
    figures = selectors.figures(choice.period, now=now, workspace_id=workspace_id)
    standing = selectors.standing(selectors.totals(workspace_id), workspace_id)
    rate = selectors.rate(now=now, workspace_id=workspace_id)
    state = selectors.state()
    lag = (now - state.closed_through).total_seconds() if state else None
    numbers = _numbers(figures, standing, rate, choice.period, now)
    around = asked.answers() if asked else None
    if around:
        numbers |= {"servers": around.servers, "queues": around.queues, "workers": around.workers}
    tables = charts.tables(figures, choice.period)
    behind = journal.behind_seconds()
    return {
        "choice": choice,
        "numbers": numbers,
        "charts": charts.of(figures, choice.period, tables),
        "tables": tables,
        "cards": _cards(request, choice, numbers),
        "statuses": _statuses(request, choice, standing),
        "reasons": rankings.reasons(figures, sees_payloads=roles.may_see_payloads(request)),
        "hosts": rankings.hosts(request, figures),
        "retention": _retention(now),
        "kept": detail.kept_payloads(now, oldest_landing=timedelta(seconds=standing.oldest_batch_seconds or 0)),
        "journal": wording.duration(behind) if behind >= SHOWN_JOURNAL_SECONDS else "",
        "holds": list(Workspace.objects.filter(legal_hold=True).values_list("name", flat=True)),
        "around": _around(around),
        "notices": notices.of(standing, around, lag, behind),
        "counted_at": state.ran_at if state else None,
        "flower_url": settings.EVERMUSE_FLOWER_URL,
    }


def _numbers(figures: Figures, standing: Standing, rate: float, period: Period, now: datetime) -> dict[str, Any]:
    seconds = (now - figures.starts[0]).total_seconds()
    return {
        "records_per_second": round(rate, 3),
        "records_per_second_of_period": round(figures.total(Metric.RECORDS) / seconds, 3),
        "batches": figures.total(Metric.BATCHES),
        "batches_landed": figures.total(Metric.BATCHES_LANDED),
        "records": figures.total(Metric.RECORDS),
        "records_accepted": figures.total(Metric.RECORDS_ACCEPTED),
        "records_rejected": figures.total(Metric.RECORDS_REJECTED),
        "files": figures.total(Metric.FILES),
        "file_bytes": figures.total(Metric.FILE_BYTES),
        "file_bytes_per_second": round(figures.total(Metric.FILE_BYTES) / seconds, 1),
        "download_failures": figures.total(Metric.DOWNLOAD_FAILURES),
        "batches_by_status": standing.batches,
        "attachments_by_state": standing.files,
        "oldest_waiting_batch_seconds": standing.oldest_batch_seconds,
        "oldest_waiting_attachment_seconds": standing.oldest_file_seconds,
    }


def _link(request: HttpRequest, choice: Choice, model: str, **filters: str) -> str | None:
    base = changelist(request, model)
    if base is None:
        return None
    if choice.workspace_id is not None and model != "lake.rejectedrecord":
        filters["workspace__id__exact"] = str(choice.workspace_id)
    return f"{base}?{urlencode(filters)}" if filters else base


def _card(title: str, value: str, note: str, link: str | None = None, *, tone: str = "") -> dict[str, str | None]:
    return {"title": title, "value": value, "note": note, "link": link, "tone": tone}


def _cards(request: HttpRequest, choice: Choice, n: dict[str, Any]) -> list[dict[str, str | None]]:
    waiting = n["batches_by_status"]["LANDING"]
    files = n["attachments_by_state"]["PENDING"]
    batch_age, file_age = n["oldest_waiting_batch_seconds"], n["oldest_waiting_attachment_seconds"]
    sent = n["records"]
    return [
        _card("Ingest rate", f"{wording.number(n['records_per_second'])} records/s",
              f"over 5 minutes; {wording.number(n['records_per_second_of_period'])}/s over the period"),
        _card("Records accepted", wording.number(n["records_accepted"]),
              f"in {wording.number(n['batches'])} batches", _link(request, choice, "ingest.batch")),
        _card("Records rejected", wording.number(n["records_rejected"]),
              f"{wording.share(n['records_rejected'], sent)} of {wording.number(sent)} sent",
              _link(request, choice, "lake.rejectedrecord"), tone="bad" if n["records_rejected"] else ""),
        _card("Batches waiting", wording.at_least(waiting, MAX_COUNTED), f"oldest: {wording.duration(batch_age)}",
              _link(request, choice, "ingest.batch", status__exact="LANDING"),
              tone="bad" if (batch_age or 0) > notices.LONG_WAIT_SECONDS else ""),
        _card("Attachments waiting", wording.at_least(files, MAX_COUNTED), f"longest due: {wording.duration(file_age)}",
              _link(request, choice, "attachments.attachment", state__exact="PENDING"),
              tone="bad" if (file_age or 0) > notices.LONG_WAIT_SECONDS else ""),
        _card("Downloaded", wording.size(n["file_bytes"]),
              f"{wording.number(n['files'])} files, {wording.size(n['file_bytes_per_second'])}/s; "
              f"{wording.number(n['download_failures'])} failed attempts",
              _link(request, choice, "attachments.attachment", state__exact="FAILED")),
    ]  # fmt: skip


def _statuses(request: HttpRequest, choice: Choice, standing: Standing) -> list[dict[str, Any]]:
    def rows(model: str, name: str, counts: dict[str, int]) -> list[dict[str, Any]]:
        return [
            {
                "name": key,
                "count": wording.number(n)
                if key == "COMPLETE" or n > MAX_COUNTED
                else wording.at_least(n, MAX_COUNTED),
                "link": _link(request, choice, model, **{f"{name}__exact": key}),
                "tone": "bad" if key == "FAILED" and n else "",
            }
            for key, n in counts.items()
        ]

    return [
        {"title": "Batches by status", "rows": rows("ingest.batch", "status", standing.batches)},
        {"title": "Attachments by state", "rows": rows("attachments.attachment", "state", standing.files)},
    ]


def _retention(now: datetime) -> list[dict[str, str]]:
    """A line for each kind of row that expires."""
    return [
        {
            "title": run.title,
            "kept": _kept_for(run.days),
            "removed": wording.number(run.removed),
            "last": f"{run.last_removed:,}, {run.last_removed_at:%Y-%m-%d %H:%M} UTC"
            if run.last_removed_at
            else "nothing yet",
            "note": _behind(run, now),
        }
        for run in selectors.retention_runs()
    ]


def _kept_for(days: int | None) -> str:
    return "by workspace" if days is None else f"{days:,} day{'' if days == 1 else 's'}"


def _behind(run: RetentionRun, now: datetime) -> str:
    if (now - run.ran_at).total_seconds() > LATE_RETENTION_SECONDS:
        return f"last run: {run.ran_at:%Y-%m-%d %H:%M} UTC"
    return "" if run.is_whole else "more to remove"


def _around(around: Surroundings | None) -> dict[str, Any]:
    if around is None:
        return {"is_known": False}
    return {
        "is_known": True,
        "servers": [
            {
                "name": notices.SERVERS[name],
                "text": notices.STATES.get(state, "does not answer"),
                "is_well": state == OK,
            }
            for name, state in around.servers.items()
        ],
        "queues": [
            {"name": f"Queue {name}", "text": f"{n:,} messages"} for name, n in sorted((around.queues or {}).items())
        ],
        "workers": [
            {"name": f"Workers, {kind}", "text": f"{n} seen" if n else "none seen", "is_well": n > 0}
            for kind, n in sorted((around.workers or {}).items())
        ],
        "is_silent": around.queues is None or around.workers is None,
    }
