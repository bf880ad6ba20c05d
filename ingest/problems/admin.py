"""The inbox in the admin: groups of failures with their actions, jobs with their progress, and alerts."""

import json
from collections.abc import Callable
from typing import Any, ClassVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.forms import Media
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseNotAllowed, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.decorators import display

from evermuse import audit
from evermuse.admin import PipelineAdmin, pretty, row_number
from evermuse.roles import may_act, may_see_payloads
from ingest.activity import pointers
from ingest.problems import acts, explanations, jobs, pages, selectors
from ingest.problems.models import Alert, Job, Problem

STATE_LABELS = {"open": "danger", "muted": "default", "resolved": "success"}
ACT_WORDS = {"mute": "Muted", "resolve": "Resolved", "reopen": "Opened again"}
JOB_LABELS = {"queued": "info", "running": "info", "done": "success", "failed": "danger"}


class ProblemStateFilter(admin.SimpleListFilter):
    """Shows open groups unless another state is chosen."""

    title = "state"
    parameter_name = "state"
    ALL = "all"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(State.value, State.label.capitalize()) for State in Problem.State] + [(self.ALL, "All")]

    def value(self) -> str:
        return super().value() or Problem.State.OPEN

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() == self.ALL else queryset.filter(state=self.value())

    def choices(self, changelist: Any) -> Any:
        for value, title in self.lookup_choices:
            yield {
                "selected": self.value() == value,
                "query_string": changelist.get_query_string({self.parameter_name: value}),
                "display": title,
            }


class _Styled(PipelineAdmin):
    """Adds this app's style sheet and script. They are files, because the content security policy forbids inline ones."""

    @property
    def media(self) -> Media:
        mine: Media = super().media + Media(css={"all": ["problems/problems.css"]}, js=["problems/progress.js"])
        return mine


@admin.register(Problem)
class ProblemAdmin(_Styled):
    """The inbox."""

    empty_text = "Nothing has failed."
    list_display = ("what", "who", "number", "trend", "first_seen", "last_seen", "condition")
    list_filter = (ProblemStateFilter, "kind", "workspace")
    list_select_related = ("workspace",)
    lookups = ("kind__exact", "workspace__id__exact")
    search_fields = ("code", "party", "workspace__name")
    confidential_search = ("field", "sample_message")
    search_help_text = "Code, source label, vendor host, processor, workspace"
    confidential_search_help = ", field, message"
    ordering: ClassVar = ["-last_seen_at", "-id"]
    list_filter_sheet = False
    list_fullwidth = True
    fields: ClassVar[list[str]] = []
    actions: ClassVar = ["mute", "resolve", "reopen", "retry"]
    change_form_template = "problems/problem.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Problem]:
        return selectors.with_day(super().get_queryset(request))

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        actions: dict[str, Any] = super().get_actions(request)
        return actions if may_act(request) else {}

    def get_search_fields(self, request: HttpRequest) -> Any:
        found = super().get_search_fields(request)
        # Fields of the envelope are not secret, so every role may search for them.
        words = request.GET.get("q", "").split()
        is_ours = words and all(pointers.is_part_of_known(word) for word in words)
        return (*found, "field") if is_ours and "field" not in found else found

    def get_list_display(self, request: HttpRequest) -> Any:
        shown = super().get_list_display(request)
        return shown if may_see_payloads(request) else ["what_in_general" if n == "what" else n for n in shown]

    @admin.display(description="What", ordering="code")
    def what_in_general(self, obj: Problem) -> SafeString:
        """The group without names that a client chose."""
        return self._what(obj, pages.field_in_words(obj, sees_payloads=False))

    @admin.display(description="What", ordering="code")
    def what(self, obj: Problem) -> SafeString:
        return self._what(obj, pages.field_in_words(obj, sees_payloads=True))

    def _what(self, obj: Problem, field: str) -> SafeString:
        return format_html(
            '<span class="problem-title">{}</span><span class="problem-code">{}{}</span>',
            explanations.of(obj.kind, obj.code).title,
            obj.code,
            f" · {field}" if field else "",
        )

    @admin.display(description="Who", ordering="party")
    def who(self, obj: Problem) -> SafeString:
        return format_html(
            '<div class="problem-cell">{}<span class="problem-code">{}</span></div>',
            obj.party or "–",
            obj.workspace.name,
        )

    @admin.display(description="Count", ordering="count")
    def number(self, obj: Problem) -> SafeString:
        unit = " waiting" if obj.is_measured else ""
        return format_html('<span class="problem-number">{}{}</span>', f"{obj.count:,}", unit)

    @admin.display(description="Last 24 hours")
    def trend(self, obj: Problem) -> SafeString:
        return pages.trend(obj)

    @admin.display(description="First seen", ordering="first_seen_at")
    def first_seen(self, obj: Problem) -> SafeString:
        return pages.moment(obj.first_seen_at)

    @admin.display(description="Last seen", ordering="last_seen_at")
    def last_seen(self, obj: Problem) -> SafeString:
        return pages.moment(obj.last_seen_at)

    @display(description="State", ordering="state", label=STATE_LABELS)  # type: ignore[untyped-decorator]
    def condition(self, obj: Problem) -> str:
        return obj.get_state_display()

    @admin.action(description="Mute: keep counting, do not alert")
    def mute(self, request: HttpRequest, queryset: QuerySet[Problem]) -> None:
        self._settle_all(request, queryset, "mute")

    @admin.action(description="Resolve: opens again with the next failure")
    def resolve(self, request: HttpRequest, queryset: QuerySet[Problem]) -> None:
        self._settle_all(request, queryset, "resolve")

    @admin.action(description="Open again")
    def reopen(self, request: HttpRequest, queryset: QuerySet[Problem]) -> None:
        self._settle_all(request, queryset, "reopen")

    @admin.action(description="Retry all in the selected groups")
    def retry(self, request: HttpRequest, queryset: QuerySet[Problem]) -> None:
        _allow(request)
        begun = sum(_request_retry(request, problem)[1] for problem in queryset)
        messages.success(request, f"Jobs started: {begun}. See Jobs for their progress.")

    def _settle_all(self, request: HttpRequest, queryset: QuerySet[Problem], act: str) -> None:
        _allow(request)
        changed = sum(_settle(request, problem, act) for problem in queryset.order_by("pk"))
        messages.success(request, f"{ACT_WORDS[act]}: {changed}.")

    def get_urls(self) -> list[URLPattern]:
        wrap: Callable[[Any], Any] = self.admin_site.admin_view
        mine = [
            path("<int:problem_id>/act/", wrap(self.act_view), name="problems_problem_act"),
            path("<int:problem_id>/progress/", wrap(self.progress_view), name="problems_problem_progress"),
        ]
        return [*mine, *super().get_urls()]

    def act_view(self, request: HttpRequest, problem_id: int) -> HttpResponse:
        """Runs the action of a button on a group's page: POST with ``act``."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        _allow(request)
        problem = get_object_or_404(Problem, pk=row_number(str(problem_id)) or 0)
        if not self.has_view_permission(request, problem):
            raise PermissionDenied
        act = request.POST.get("act", "")
        if act == "retry":
            _, is_new = _request_retry(request, problem)
            messages.success(request, "The job has started." if is_new else "A job for this group is already running.")
        elif act in acts.ACTS:
            changed = _settle(request, problem, act)
            messages.success(
                request, f"{ACT_WORDS[act]}." if changed else f"It was {problem.get_state_display()} already."
            )
        else:
            messages.error(request, "Unknown action.")
        return redirect("admin:problems_problem_change", problem_id)

    def progress_view(self, request: HttpRequest, problem_id: int) -> JsonResponse:
        """The progress of the latest job, for the page's script."""
        problem = get_object_or_404(Problem, pk=row_number(str(problem_id)) or 0)
        if not self.has_view_permission(request, problem):
            raise PermissionDenied
        job = selectors.latest_job(problem)
        return JsonResponse({"job": pages.progress(job, sees_payloads=may_see_payloads(request)) if job else None})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        problem = Problem.objects.select_related("workspace").filter(pk=row_number(object_id) or 0).first()
        shown = pages.of_problem(request, problem) if problem and self.has_view_permission(request, problem) else {}
        if problem and shown.get("sample_payload"):
            audit.read(request, problem, "Sample record seen")
        answer: HttpResponseBase = super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})
        return answer


def _allow(request: HttpRequest) -> None:
    if not may_act(request):
        raise PermissionDenied


@transaction.atomic
def _settle(request: HttpRequest, problem: Problem, act: str) -> bool:
    changed = acts.settle(problem.pk, act=act)
    if changed:
        audit.record(request, problem, ACT_WORDS[act])
    return changed


@transaction.atomic
def _request_retry(request: HttpRequest, problem: Problem) -> tuple[Job, bool]:
    job, is_new = jobs.request(problem, user_id=request.user.pk)
    if is_new:
        audit.record(request, problem, "Retry all in the group", job=job.pk)
    return job, is_new


@admin.register(Job)
class JobAdmin(_Styled):
    """Jobs and their progress."""

    empty_text = "A job starts when someone retries a group of problems."
    list_display = ("name", "group", "condition", "bar", "done", "skipped", "requested_by", "created_at", "finished_at")
    list_filter = ("state",)
    lookups = ("state__exact",)
    # The text of an error may quote a record.
    confidential = ("error",)
    list_select_related = ("problem", "problem__workspace", "requested_by")
    ordering: ClassVar = ["-id"]
    fields = (
        "kind", "group", "condition", "bar", "total", "done", "skipped", "why_skipped", "error", "faults", "requested_by",
        "created_at", "started_at", "finished_at",
    )  # fmt: skip

    @admin.display(description="Job", ordering="id")
    def name(self, obj: Job) -> str:
        return str(obj)

    @admin.display(description="Group")
    def group(self, obj: Job) -> SafeString:
        url = reverse("admin:problems_problem_change", args=[obj.problem_id])
        return format_html('<a class="problem-link" href="{}">{}</a>', url, str(obj.problem))

    @display(description="State", label=JOB_LABELS)  # type: ignore[untyped-decorator]
    def condition(self, obj: Job) -> str:
        return obj.get_state_display()

    @admin.display(description="Progress")
    def bar(self, obj: Job) -> SafeString:
        return format_html(
            '<progress class="problem-bar" max="100" value="{}" aria-label="Progress of job {}">{} %</progress>',
            obj.percent, obj.pk, obj.percent,
        )  # fmt: skip

    @admin.display(description="Why skipped")
    def why_skipped(self, obj: Job) -> str:
        return "; ".join(pages.reasons(obj)) or "–"


@admin.register(Alert)
class AlertAdmin(PipelineAdmin):
    """Alerts, their channels, and whether the receiver took them."""

    empty_text = "Alerts are written only while EVERMUSE_ALERT_WEBHOOK_URL or EVERMUSE_ALERT_EMAILS is set."
    list_display = ("event", "channel", "created_at", "sent_at", "attempts", "next_attempt_at", "last_error")
    list_filter = ("channel", "event")
    lookups = ("channel__exact", "event__exact")
    ordering: ClassVar = ["-id"]
    fields = ("event", "channel", "created_at", "sent_at", "attempts", "next_attempt_at", "last_error", "told")

    @admin.display(description="Message")
    def told(self, obj: Alert) -> SafeString:
        return pretty(json.dumps(obj.body))
