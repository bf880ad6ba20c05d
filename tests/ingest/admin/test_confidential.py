"""Users without the permission never see a customer's words: on no page, by no filter, search, order or download."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from unittest import mock

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIRequest
from django.db.models import Model
from django.http import QueryDict
from django.template.response import SimpleTemplateResponse
from django.test import Client, RequestFactory
from django.urls import resolve, reverse
from unfold.sites import UnfoldAdminSite

from attachments.models import Attachment
from ingest.models import Batch
from ingest.problems.models import Problem
from lake.models import Record, RejectedRecord
from tests.http_client import ApiClient
from tests.ingest.admin.planted import CONFIDENTIAL, SECRET, addresses, plant

Login = Callable[[str], Client]
# Lists of staff and their actions, which viewers may not see at all.
STAFF = ("/logentry/", "/user/", "/group/")
FOR_PEOPLE = {"login", "logout", "password_change", "password_change_done"}
# Lookups of a filter. Operators may see what these find; this module tests that viewers may not.
OPERATIONS = ("exact", "iexact", "contains", "startswith", "regex", "gt", "lt", "in", "isnull", "range")


@pytest.fixture
def planted(api: ApiClient) -> ApiClient:
    plant(api)
    return api


def read(answer: Any) -> str:
    content = b"".join(answer.streaming_content) if answer.streaming else answer.content
    return str(content.decode(errors="replace")) + str(answer.headers)


def get(client: Client, path: str, **query: str) -> Any:
    client.raise_request_exception = False
    return client.get(path, query) if query else client.get(path)


def lists() -> Iterator[tuple[type[Model], str]]:
    for model in admin.site._registry:
        yield model, reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


@contextmanager
def unrendered() -> Iterator[None]:
    """Runs views with all of their queries but without rendering templates, which takes most of the time.

    The sidebar, which is the same on all pages and has queries of its own, is left out too.
    """
    with (
        mock.patch.object(SimpleTemplateResponse, "rendered_content", ""),
        mock.patch.object(UnfoldAdminSite, "get_sidebar_list", lambda site, request: []),
    ):
        yield


def counted(answer: Any) -> Any:
    """Returns how many rows a list found, or its status if it shows none."""
    shown = getattr(answer, "context_data", None) or {}
    return shown["cl"].result_count if answer.status_code == 200 and "cl" in shown else answer.status_code


def test_no_page_of_the_admin_shows_confidential_data_to_a_viewer(planted: ApiClient, login: Login) -> None:
    viewer, seen = login("viewer"), set()
    for name, path in addresses():
        answer = get(viewer, path)
        assert answer.status_code < 500, path
        echoed = read(answer).replace(path, "").replace(f"term={SECRET}", "")
        assert SECRET not in echoed or name == "search", path
        seen |= {name} if answer.status_code == 200 else set()
    assert len(seen) > 25, seen
    assert not LogEntry.objects.exists()


def test_pages_of_the_admin_show_confidential_data_to_an_operator(planted: ApiClient, login: Login) -> None:
    operator = login("operator")
    told = {name for name, path in addresses() if "term" not in path and SECRET in read(get(operator, path))}
    assert told >= {
        "ingest_batch_change", "ingest_batch_payload", "ingest_batch_rejected", "lake_record_change",
        "lake_rejectedrecord_change", "lake_rejectedrecord_changelist", "attachments_attachment_change",
        "problems_problem_change", "problems_problem_changelist", "problems_job_change", "overview", "index",
    }  # fmt: skip


@pytest.mark.parametrize("who", ["", "anonymous"])
def test_admin_shows_nothing_to_users_without_a_role(planted: ApiClient, login: Login, who: str) -> None:
    client = Client() if who else login("")
    for name, path in addresses():
        if name in FOR_PEOPLE:
            continue
        answer = get(client, path)
        assert answer.status_code == (302 if who else 403), path
        assert SECRET not in read(answer).replace(SECRET, "", path.count(SECRET) * 3)


def columns(model: type[Model]) -> Iterator[str]:
    """Yields the names of columns, and of the columns of related rows."""
    for column in model._meta.get_fields():
        if not getattr(column, "concrete", False):
            yield getattr(column, "related_name", None) or column.name
            continue
        yield column.name
        if column.is_relation and column.related_model is not None:
            yield from (f"{column.name}__{other.name}" for other in column.related_model._meta.concrete_fields)


# Columns by which a viewer's URL may filter a list; none of them holds a customer's words.
OPEN = {
    "ingest.Batch": {"status__exact", "workspace__id__exact"},
    "ingest.Product": {"workspace__id__exact"}, "ingest.Project": {"workspace__id__exact"},
    "ingest.ApiKey": {"workspace__id__exact", "source", "source__exact"},
    "lake.Record": {"workspace__id__exact", "event_at__gte", "event_at__lt"},
    "lake.RejectedRecord": {"batch__id__exact"},
    "attachments.Attachment": {
        "state__exact", "workspace__id__exact", "batch__id__exact", "host", "host__exact", "error_code",
        "error_code__exact",
    },
    "problems.Problem": {"kind__exact", "workspace__id__exact"},
    "problems.Job": {"state__exact"},
    "problems.Alert": {"channel__exact", "event__exact"},
}  # fmt: skip


def test_viewer_can_filter_lists_by_non_confidential_columns_only(
    planted: ApiClient, login: Login, rf: RequestFactory
) -> None:
    viewer = login("viewer")
    request = rf.get("/")
    request.user = User.objects.get(groups__name="viewer")
    for model, path in lists():
        registered = admin.site._registry[model]
        names = [f"{column}{end}" for column in columns(model) for end in ("", *(f"__{one}" for one in OPERATIONS))]
        allowed = {name for name in names if registered.lookup_allowed(name, SECRET, request)}
        assert allowed <= OPEN.get(model._meta.label, set()) | {"state", "type", "source"} or path.endswith(STAFF), path
        if get(viewer, path).status_code == 200:
            for column in {*CONFIDENTIAL.get(model, ()), "digest", "nothing"} - {"source"}:
                for name in (column, f"{column}__startswith"):
                    assert get(viewer, path, **{name: SECRET}).status_code == 400, (path, name)


def test_administrator_cannot_filter_lists_by_unlisted_columns(planted: ApiClient, login: Login) -> None:
    administrator = login("administrator")
    for path, name in (
        (reverse("admin:auth_user_changelist"), "password__startswith"),
        (reverse("admin:ingest_apikey_changelist"), "digest__contains"),
        (reverse("admin:admin_logentry_changelist"), "user__password__startswith"),
        (reverse("admin:problems_job_changelist"), "requested_by__password__startswith"),
        (reverse("admin:lake_record_changelist"), "digest"),
    ):
        assert get(administrator, path, **{name: "x"}).status_code == 400, (path, name)


def test_search_of_a_viewer_finds_nothing_by_confidential_data(planted: ApiClient, login: Login) -> None:
    viewer, operator = login("viewer"), login("operator")
    found: dict[str, int] = {}
    words = [SECRET, f"{SECRET}:{SECRET}", f"{SECRET}@x.example"]
    for model, path in lists():
        if get(viewer, path).status_code == 403:
            continue
        state = {"state": "all"} if model is Problem else {}
        # A list without a search shows all rows.
        with unrendered():
            nothing = counted(get(viewer, path, q="never-said-by-anybody", **state))
            for word in words:
                assert counted(get(viewer, path, q=word, **state)) == nothing, (path, word)
                by_operator = counted(get(operator, path, q=word, **state))
                found[model._meta.label] = found.get(model._meta.label, 0) + by_operator
    assert {label for label, n in found.items() if n} >= {"lake.Record", "lake.RejectedRecord", "problems.Problem"}


def test_viewer_cannot_order_a_list_by_a_confidential_column(planted: ApiClient, login: Login) -> None:
    viewer = login("viewer")
    for model, path in lists():
        hidden = set(CONFIDENTIAL.get(model, ()))
        for column in range(12):
            with unrendered():
                answer = get(viewer, path, o=str(column))
            if answer.status_code == 200:
                by = {str(name).lstrip("-") for name in answer.context_data["cl"].queryset.query.order_by}
                assert not by & hidden, (path, column)


def test_each_read_of_confidential_data_is_in_the_audit_log_once(planted: ApiClient, login: Login) -> None:
    operator, batch = login("operator"), Batch.objects.get()
    reader = User.objects.get(groups__name="operator")
    read(get(operator, reverse("admin:ingest_batch_payload", args=[batch.pk])))
    read(get(operator, reverse("admin:ingest_batch_rejected", args=[batch.pk])))
    assert get(operator, reverse("admin:ingest_batch_archive", args=[batch.pk])).status_code == 200
    Attachment.objects.update(state="COMPLETE", mime_type="image/png", storage_uri="s3://evermuse-lake/x")
    file = Attachment.objects.get()
    download = get(operator, reverse("admin:attachments_attachment_download", args=[file.pk]))
    assert "X-Amz-Signature" in download["Location"]
    for _ in range(2):
        for name, row in (
            ("ingest_batch", batch), ("lake_record", Record.objects.get()), ("attachments_attachment", file),
            ("lake_rejectedrecord", RejectedRecord.objects.order_by("index")[0]),
            ("problems_problem", Problem.objects.exclude(sample_index=None)[0]),
        ):  # fmt: skip
            assert get(operator, reverse(f"admin:{name}_change", args=[row.pk])).status_code == 200
    assert sorted(LogEntry.objects.filter(user=reader).values_list("change_message", flat=True)) == sorted([
        "Body downloaded", "Rejected records downloaded", "Archive downloaded", "File downloaded",
        "Rejected records seen", "Record seen", "File previewed", "Rejected record seen", "Sample record seen",
    ])  # fmt: skip


def test_viewer_cannot_download_confidential_data(planted: ApiClient, login: Login) -> None:
    viewer, batch, file = login("viewer"), Batch.objects.get(), Attachment.objects.get()
    for name in ("payload", "rejected", "archive"):
        assert get(viewer, reverse(f"admin:ingest_batch_{name}", args=[batch.pk])).status_code == 403
    assert get(viewer, reverse("admin:attachments_attachment_download", args=[file.pk])).status_code == 403
    assert not LogEntry.objects.exists()


ODD = (
    "", "x", "\0", "a\0b", "-1", "0", "1e9", "9" * 30, "²", "٣", "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    "[]", "{}", "2026-13-45", "99999-01-01", "0000-00-00", "' OR 1=1", "%", "_", "a" * 5000, "1,2,x", "True", "None",
)  # fmt: skip
OWN = ("q", "o", "p", "e", "all", "_popup", "_to_field", "_facets", "_changelist_filters", "before", "rejected", "files",
       "state", "type", "source", "period", "workspace", "s", "page", "term", "app_label", "model_name", "field_name",
       "key", "next", "_selected_action")  # fmt: skip


def test_no_value_in_the_url_of_a_list_causes_a_server_error(planted: ApiClient, boss: Client) -> None:
    for model, path in lists():
        registered = admin.site._registry[model]
        mine = [*registered.lookups, *registered.confidential_lookups]  # type: ignore[attr-defined]
        tried = [(name, value) for name in ("q", *mine) for value in ODD]
        tried += [(name, value) for name in (*OWN, "digest", "pk", "batch__id__in", "__") for value in ("x", "a\0b")]
        with unrendered():
            for name, value in [*tried, *((column, "x") for column in columns(model) if "__" not in column)]:
                assert get(boss, path, **{name: value}).status_code < 500, (path, name, value[:50])
        for name in ("q", *mine, *OWN):
            assert get(boss, path, **{name: "x"}).status_code < 500, (path, name)


def test_no_value_in_the_url_of_a_form_causes_a_server_error(planted: ApiClient, boss: Client) -> None:
    # If a row cannot be added, that is decided before the URL's values are read.
    forms = [(model, path) for model, path in lists() if get(boss, f"{path}add/").status_code != 403]
    assert {"ingest.Workspace", "ingest.ApiKey", "auth.User"} <= {model._meta.label for model, _ in forms}
    for model, path in forms:
        # All initial values at once: a fault caused by any one of them would fail the page.
        columns_of_form = [column for column in columns(model) if "__" not in column]
        assert get(boss, f"{path}add/", **dict.fromkeys(columns_of_form, "x")).status_code < 500, path
        for name in (*OWN, "digest", "pk", "__"):
            assert get(boss, f"{path}add/", **{name: "x"}).status_code < 500, (path, name)


class NotedQuery(QueryDict):
    """A request's query that records the names that a view asks for."""

    asked: ClassVar[set[str]] = set()

    def __getitem__(self, key: str) -> Any:
        self.asked.add(key)
        return super().__getitem__(key)

    def __contains__(self, key: object) -> bool:
        self.asked.add(str(key))
        return super().__contains__(key)

    def getlist(self, key: str, default: Any = None) -> Any:
        self.asked.add(key)
        return super().getlist(key, default)


def names_asked(client: Client, path: str) -> set[str]:
    """Returns the names of the parameters that a page reads. Any other parameter changes nothing."""
    NotedQuery.asked = set()
    noted = property(lambda request: NotedQuery(request.META.get("QUERY_STRING", "")))
    with mock.patch.object(WSGIRequest, "GET", noted):
        assert get(client, path, s="batch").status_code < 500
    return NotedQuery.asked


def test_no_value_in_the_url_of_another_page_causes_a_server_error(planted: ApiClient, boss: Client) -> None:
    asked = set()
    for path in (reverse("admin:index"), reverse("overview"), reverse("admin:autocomplete"), reverse("admin:search")):
        names = names_asked(boss, path)
        asked |= names
        for name in names:
            for value in ("x", "\0", "-1", "9" * 30):
                assert get(boss, path, **{"s": "batch", name: value}).status_code < 500, (path, name, value)
    assert asked >= {"period", "workspace", "s", "page", "term", "app_label"}


PAGES = ("change/", "delete/", "history/", "", "act/", "payload/", "rejected.ndjson", "archive/", "download/", "progress/",
         "revoke/", "password/")  # fmt: skip
ROWS = ("x", "-1", "9" * 25, "a%00b", "_00", "%ff", "0")


def test_no_row_id_in_a_url_causes_a_server_error(planted: ApiClient, boss: Client) -> None:
    found = set()
    for _, path in lists():
        for page in PAGES:
            # Django answers every other path with the same redirect.
            exists = resolve(f"{path}1/{page}").url_name is not None or not page
            found |= {page} if exists else set()
            for odd in ROWS if exists else ROWS[:1]:
                assert get(boss, f"{path}{odd}/{page}").status_code < 500, (path, odd, page)
    assert found == set(PAGES)


def test_no_selection_for_an_action_causes_a_server_error(planted: ApiClient, boss: Client) -> None:
    for model, path in lists():
        registered, request = admin.site._registry[model], RequestFactory().get(path)
        request.user = User.objects.get(is_superuser=True)
        for action in (*registered.get_actions(request), "\0", "nothing"):
            for odd in ("x", "\0", "-1", "9" * 25, ""):
                answer = boss.post(path, {"action": action, "_selected_action": [odd], "index": "0"})
                assert answer.status_code < 500, (path, odd, action)
