"""Alerts: written to an outbox in PostgreSQL, one row for each channel, and sent later (`delivery`).

New groups, and resolved groups that came back, share one message, at most one a minute. A backlog is reported once when it
has been too old for a while, and once when it has recovered. Alerts never contain payloads, keys or names that a client
chose.
"""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Min
from django.utils import timezone

from attachments.queue import groups
from evermuse import logs
from ingest import failure_codes
from ingest.activity import pointers
from ingest.models import Batch
from ingest.pipeline import detail
from ingest.problems import explanations
from ingest.problems.models import Alert, BacklogWatch, Problem
from lake.journal import writing

log = logs.get(__name__)

SPACING = timedelta(seconds=60)
MAX_LISTED = 50
MAX_FLAGS = 10_000
# A batch that was opened again is old at once. So an alert is sent only if the age stays over the threshold this long.
MUST_LAST = timedelta(seconds=15)
LANDING, DOWNLOADS, PAYLOADS, DEPLOYMENT, JOURNAL = "landing", "downloads", "old payloads", "deployment", "journal"

Event, Channel = Alert.Event, Alert.Channel


def channels() -> list[str]:
    """The configured channels."""
    found: list[str] = [Channel.WEBHOOK] if settings.EVERMUSE_ALERT_WEBHOOK_URL else []
    return [*found, Channel.EMAIL] if settings.EVERMUSE_ALERT_EMAILS else found


def tell_new_problems() -> int:
    """Write one message about groups that are new or open again. Returns the number of groups."""
    with transaction.atomic():
        latest = Alert.objects.filter(event=Event.PROBLEMS).order_by("-id").values_list("created_at", flat=True).first()
        if latest and timedelta() <= timezone.now() - latest < SPACING:
            return 0
        due = Problem.objects.select_for_update(skip_locked=True, of=("self",)).filter(is_alert_due=True)
        found = list(due.select_related("workspace").order_by("id")[:MAX_FLAGS])
        Problem.objects.filter(id__in=[problem.pk for problem in found]).update(is_alert_due=False)
        told = [problem for problem in found if problem.state == Problem.State.OPEN]
        if told:
            _write(Event.PROBLEMS, {"total": len(told), "problems": [_summary(one) for one in told[:MAX_LISTED]]})
    if told:
        log.warning("problems.new", count=len(told), problem_ids=[problem.pk for problem in told[:MAX_LISTED]])
    return len(told)


def _summary(problem: Problem) -> dict[str, Any]:
    return {
        "id": problem.pk,
        "kind": problem.kind,
        "code": problem.code,
        "field": pointers.without_client_names(problem.field)
        if problem.kind == Problem.Kind.RECORDS
        else problem.field,
        "title": explanations.of(problem.kind, problem.code).title,
        "workspace": problem.workspace.name,
        "party": problem.party,
        "count": problem.count,
        "firstSeenAt": problem.first_seen_at.isoformat(),
        "lastSeenAt": problem.last_seen_at.isoformat(),
        "isNew": problem.first_seen_at >= problem.opened_at - timedelta(minutes=5),
        "url": _link(f"/admin/problems/problem/{problem.pk}/change/"),
    }


def watch_backlogs() -> None:
    """Check the age of the oldest waiting batch and file. Alert when it goes over its threshold, and when it has recovered."""
    threshold = settings.EVERMUSE_ALERT_BACKLOG_SECONDS
    if threshold:
        _watch(LANDING, oldest_batch_seconds(), threshold)
        _watch(DOWNLOADS, groups.oldest_due_seconds(), threshold)
        _watch(JOURNAL, writing.behind_seconds(), threshold)


def watch_old_payloads() -> None:
    """Alert when a batch that has not landed, or was given up, is older than the retention of payloads.

    Its payload is the only copy of its records.
    """
    given_up = detail.oldest_given_up()
    age = (timezone.now() - given_up).total_seconds() if given_up else 0.0
    days = detail.PAYLOADS.days or 0
    _watch(PAYLOADS, max(age, oldest_batch_seconds()), (days + 1) * 86_400)


def watch_deployment() -> None:
    """Alert when batches wait because code, schema and servers do not match."""
    _watch(DEPLOYMENT, oldest_batch_seconds(failure_code=failure_codes.DEPLOYMENT_FAULT), 0.0)


def oldest_batch_seconds(**conditions: str) -> float:
    """Seconds that the oldest batch has waited to land; 0 if none waits. ``conditions`` are those of a Django filter."""
    oldest = Batch.objects.filter(status=Batch.Status.LANDING, **conditions).aggregate(at=Min("created_at"))["at"]
    return max(0.0, (timezone.now() - oldest).total_seconds()) if oldest else 0.0


def _watch(name: str, age: float, threshold: float) -> None:
    BacklogWatch.objects.get_or_create(name=name)
    with transaction.atomic():
        watch = BacklogWatch.objects.select_for_update().get(name=name)
        now = timezone.now()
        if age > threshold:
            watch.over_since = watch.over_since or now
            if watch.told_at is None and now - watch.over_since >= MUST_LAST:
                watch.told_at = now
                _write(Event.BACKLOG, _backlog(name, age, threshold))
                log.warning("backlog.old", backlog=name, seconds=round(age))
        else:
            if watch.told_at is not None:
                _write(Event.RECOVERED, _backlog(name, age, threshold))
                log.info("backlog.recovered", backlog=name)
            watch.over_since = watch.told_at = None
        watch.save()


def _backlog(name: str, age: float, threshold: float) -> dict[str, Any]:
    return {"backlog": name, "oldestSeconds": round(age), "thresholdSeconds": threshold}


def test() -> list[int]:
    """Write a test message to the outbox. Returns its rows, one for each channel."""
    _write(Event.TEST, {})
    newest = Alert.objects.filter(event=Event.TEST).order_by("-id").values_list("id", flat=True)
    return sorted(newest[: len(channels())])


def _write(event: str, details: dict[str, Any]) -> None:
    """Insert rows into the outbox, in the caller's transaction."""
    now = timezone.now()
    body = {"event": event, "at": now.isoformat(), "inbox": _link("/admin/problems/problem/"), **details}
    Alert.objects.bulk_create(
        Alert(channel=channel, event=event, body=body, created_at=now, next_attempt_at=now) for channel in channels()
    )


def _link(path: str) -> str | None:
    return f"{settings.EVERMUSE_PUBLIC_URL}{path}" if settings.EVERMUSE_PUBLIC_URL else None
