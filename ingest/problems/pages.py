"""The page of a group: its facts, actions, affected batches and files, and the progress of its job."""

from typing import Any

from django.contrib.admin.utils import quote
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from evermuse import public_ids, redaction
from evermuse.admin import block, pretty, row_number
from evermuse.roles import may_act, may_see_payloads
from ingest import failure_codes
from ingest.activity import pointers
from ingest.problems import acts, explanations, selectors, sparkline
from ingest.problems.models import Job, Problem


def of_problem(request: HttpRequest, problem: Problem) -> dict[str, Any]:
    """The template context of a group's page."""
    [counted] = selectors.with_day(Problem.objects.filter(pk=problem.pk))
    job = selectors.latest_job(problem)
    page = selectors.affected(problem, before=row_number(request.GET.get("before")))
    sees_payloads = may_see_payloads(request)
    record = selectors.sample_record(problem) if sees_payloads else None
    return {
        "title": explanations.of(problem.kind, problem.code).title,
        "subtitle": str(problem),
        "problem": problem,
        "host_url": _host_url(problem),
        "count": f"{problem.count:,}",
        "explanation": explanations.of(problem.kind, problem.code),
        "field_in_words": field_in_words(problem, sees_payloads=sees_payloads),
        "trend": trend(counted),
        "trend_in_words": sparkline.in_words(_day(counted), is_measured=problem.is_measured),
        "job": progress(job, sees_payloads=sees_payloads) if job else None,
        "affected": [_affected(row, sees_payloads) for row in page.rows],
        "following": page.following,
        "is_first_page": "before" not in request.GET,
        "sample_batch": _batch_link(problem.sample_batch) if problem.sample_batch else None,
        "sample_attachment": _attachment_link(problem.sample_attachment) if problem.sample_attachment else None,
        "sample_payload": (pretty if record.is_json else block)(bytes(record.payload)) if record else None,
        "may_act": may_act(request),
        "may_see_payloads": sees_payloads,
        "sample_message": problem.sample_message if sees_payloads else "",
        "acts": _acts(problem) if may_act(request) else [],
    }


def _acts(problem: Problem) -> list[dict[str, str]]:
    """The actions that have an effect now. A measured group is resolved automatically."""
    retry = {
        "name": "retry", "title": "Retry all in this group", "variant": "primary", "icon": "replay",
    }  # fmt: skip
    settle = {
        "mute": {"name": "mute", "title": "Mute", "variant": "default", "icon": "notifications_off"},
        "resolve": {"name": "resolve", "title": "Resolve", "variant": "default", "icon": "check"},
        "reopen": {"name": "reopen", "title": "Open again", "variant": "default", "icon": "undo"},
    }
    possible = [act for act, (states, _) in acts.ACTS.items() if problem.state in states]
    if problem.is_measured and problem.count:
        possible = [act for act in possible if act != "resolve"]
    return [retry, *[settle[act] for act in possible]]


def progress(job: Job, *, sees_payloads: bool) -> dict[str, Any]:
    """A job's progress, for the page and its script."""
    seen = f"{job.done + job.skipped:,} of {job.total:,}" if job.total is not None else "not started"
    return {
        "id": job.pk,
        "state": job.get_state_display(),
        "isFinished": job.is_finished,
        "percent": job.percent,
        "text": f"{job.get_state_display().capitalize()}: {seen}, {job.done:,} retried, {job.skipped:,} skipped.",
        "reasons": reasons(job),
        "error": job.error if sees_payloads else redaction.reason(job.error),
        "startedAt": job.started_at and f"{job.started_at:%Y-%m-%d %H:%M:%S} UTC",
        "requestedBy": job.requested_by.get_username() if job.requested_by else "–",
        "url": reverse("admin:problems_job_change", args=[job.pk]),
    }


def reasons(job: Job) -> list[str]:
    """What a job skipped, by reason."""
    return [f"{number:,} skipped: {reason}" for reason, number in sorted(job.reasons.items())]


def _affected(row: Any, sees_payloads: bool) -> dict[str, Any]:
    """A row of the list of affected batches or attachments."""
    if hasattr(row, "record_index"):
        return {
            "link": _attachment_link(row.pk),
            "of": _batch_link(row.batch_id),
            "state": row.state,
            "at": moment(row.completed_at or row.created_at),
            "more": (row.error_message if sees_payloads else row.error_code) or "–",
        }
    batch = getattr(row, "batch", row)
    failure = batch.failure if sees_payloads else failure_codes.in_words(batch.failure_code)
    more = f"{row.count:,} × in this batch" if batch is not row else failure or "–"
    return {
        "link": _batch_link(batch.pk),
        "of": None,
        "state": batch.status,
        "at": moment(batch.created_at),
        "more": more,
    }


def _host_url(problem: Problem) -> str | None:
    is_file = problem.kind in (Problem.Kind.FILES, Problem.Kind.WAITING_FILES)
    return (
        reverse("admin:attachments_vendorhost_change", args=[quote(problem.party)])
        if is_file and problem.party
        else None
    )


def _batch_link(number: int) -> SafeString:
    return format_html(
        '<a class="problem-link" href="{}">{}</a>',
        reverse("admin:ingest_batch_change", args=[number]),
        public_ids.of_batch(number),
    )


def _attachment_link(number: int) -> SafeString:
    return format_html(
        '<a class="problem-link" href="{}">{}</a>',
        reverse("admin:attachments_attachment_change", args=[number]),
        public_ids.of_attachment(number),
    )


def field_in_words(problem: Problem, *, sees_payloads: bool) -> str:
    """The field for people. Without the permission to see payloads, names that a client chose become ``[]``."""
    if problem.kind != Problem.Kind.RECORDS:
        return problem.field
    return pointers.in_words(problem.field if sees_payloads else pointers.without_client_names(problem.field))


def _day(problem: Problem) -> list[int]:
    return selectors.day(getattr(problem, "day_hours", []), timezone.now())


def trend(problem: Problem) -> SafeString:
    """The sparkline of a group from `selectors.with_day`."""
    return sparkline.draw(_day(problem), is_measured=problem.is_measured)


def moment(at: Any) -> SafeString:
    """How long ago, in short. The exact time is in the tooltip and for screen readers."""
    ago = explanations.duration(max(0.0, (timezone.now() - at).total_seconds())).split(" ")
    return format_html(
        '<time class="problem-time" datetime="{}" title="{} UTC">{} ago</time>',
        at.isoformat(), f"{at:%Y-%m-%d %H:%M:%S}", " ".join(ago[:2]),
    )  # fmt: skip
