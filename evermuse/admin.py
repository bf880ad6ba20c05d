"""Base classes and formatting for the admin. The pipeline's rows cannot be edited, and large tables stay fast."""

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, TypeVar

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import BadRequest, PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.db import connections
from django.db.models import CharField, Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from unfold.admin import ModelAdmin
from unfold.views import ChangeList

from evermuse import audit, replica, roles

M = TypeVar("M", bound=Model)

EXACT_UP_TO = 10_000
SHOWN_CHARACTERS = 20_000


class EstimatingPaginator(Paginator):  # type: ignore[type-arg]
    """Counts up to EXACT_UP_TO rows. Beyond that it uses the planner's estimate, because COUNT(*) over millions is slow."""

    @cached_property
    def count(self) -> int:
        """The number of rows, or an estimate if there are many."""
        rows: QuerySet[Model] = self.object_list  # type: ignore[assignment]
        exact = rows.order_by().values("pk")[: EXACT_UP_TO + 1].count()
        if exact <= EXACT_UP_TO or rows.query.where:
            return exact
        with connections[replica.alias()].cursor() as cursor:
            cursor.execute(
                "SELECT reltuples::bigint FROM pg_class WHERE oid = %s::regclass", [rows.model._meta.db_table]
            )
            return max(int(cursor.fetchone()[0]), exact)


class RowList(ChangeList):  # type: ignore[misc]
    """A list's page. It offers to show all rows only while a search or a filter hides some."""

    model_admin: Any
    search_help_text: str

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        if not self.query and not self.has_active_filters:
            # Django would count the table again to know this.
            self.full_result_count = self.result_count
        if self.search_help_text and roles.may_see_payloads(request):
            self.search_help_text += self.model_admin.confidential_search_help


class RoleAware:
    """Decides what a list, a page and a URL show to whom. A base of every admin class, before Django's own.

    Django lets a URL filter by any column, such as ``?digest__startswith=``, and the counts then reveal what a page
    hides. Here a URL may filter only by ``lookups``, and by ``confidential_lookups`` for a login that may see payloads.
    """

    # Fields that show what customers said, or lead to it. Hidden from a login that may not see payloads.
    confidential: tuple[str, ...] = ()
    lookups: tuple[str, ...] = ()
    confidential_lookups: tuple[str, ...] = ()
    # Search fields for a login that may see payloads, in addition to `search_fields`.
    confidential_search: tuple[str, ...] = ()
    # The end of `search_help_text` for such a login.
    confidential_search_help = ""

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Django's hook. False is answered with 400. This version of Django always passes the request."""
        if lookup in self.lookups:
            return True
        if request is None:
            return False
        if lookup in self.confidential_lookups:
            return roles.may_see_payloads(request)
        filters = self.get_list_filter(request)  # type: ignore[attr-defined]
        return any(
            isinstance(one, type) and issubclass(one, admin.SimpleListFilter) and one.parameter_name == lookup
            for one in filters
        )

    def response_action(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Django's hook for an action on selected rows. Refuses selected values that are not primary keys."""
        key: Any = self.model._meta.pk  # type: ignore[attr-defined]
        try:
            for chosen in request.POST.getlist(ACTION_CHECKBOX_NAME):
                if "\0" in chosen:
                    raise ValidationError("NUL")
                key.to_python(chosen)
        except ValidationError as error:
            raise BadRequest("A selected value is not the key of a row.") from error
        return super().response_action(request, queryset)  # type: ignore[misc]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A form's initial values from the URL: only texts and keys of related rows. Widgets raise on anything else."""
        given: dict[str, Any] = super().get_changeform_initial_data(request)  # type: ignore[misc]
        columns = {column.name: column for column in self.model._meta.get_fields()}  # type: ignore[attr-defined]
        return {name: value for name, value in given.items() if _may_fill(columns.get(name), value)}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RowList]:
        return RowList

    def get_search_fields(self, request: HttpRequest) -> Any:
        found = super().get_search_fields(request)  # type: ignore[misc]
        return (*found, *self.confidential_search) if roles.may_see_payloads(request) else found

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self._open_to(request, super().get_fields(request, obj))  # type: ignore[misc]

    def get_list_display(self, request: HttpRequest) -> Any:
        return self._open_to(request, super().get_list_display(request))  # type: ignore[misc]

    def _open_to(self, request: HttpRequest, names: Any) -> Any:
        return names if roles.may_see_payloads(request) else [name for name in names if name not in self.confidential]


class PipelineAdmin(RoleAware, ModelAdmin):  # type: ignore[misc]
    """Rows that belong to the pipeline: they are listed, searched and read."""

    paginator = EstimatingPaginator
    show_full_result_count = False
    list_per_page = 50
    # What an empty list means, if that is not obvious.
    empty_text = ""
    # How a public id is parsed, and the column with its number. Such an id can be searched as logs and the API show it.
    id_columns: tuple[tuple[Callable[[str], int | None], str], ...] = ()
    # The audit log's text when a login that may see payloads opens a row. Empty if the page shows no payload.
    reading = ""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_operate_permission(self, request: HttpRequest) -> bool:
        """For actions declared with ``permissions=["operate"]``."""
        return roles.may_act(request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        for parsed, column in self.id_columns:
            if (number := parsed(search_term.strip())) is not None:
                return queryset.filter(**{column: number}), False
        found: tuple[QuerySet[Any], bool] = super().get_search_results(request, queryset, search_term)
        return found

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponseBase:
        """A list comes from the standby, if that has replayed all changes."""
        view: Callable[..., HttpResponseBase] = super().changelist_view

        def page() -> HttpResponseBase:
            answer = view(request, extra_context)
            # Its template reads the rows.
            return answer.render() if isinstance(answer, TemplateResponse) else answer

        return replica.read_current(page) if request.method == "GET" else page()

    def row_with_payload(self, request: HttpRequest, rows: QuerySet[M], number: int) -> M:
        """The row of this number, for a login that may see payloads. Raises PermissionDenied and Http404."""
        if not (roles.may_see_payloads(request) and self.has_view_permission(request)):
            raise PermissionDenied
        return row_or_404(rows, number)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponseBase:
        if self.reading and roles.may_see_payloads(request):
            row = self.get_object(request, object_id)
            if row and self.has_view_permission(request, row):
                audit.read(request, row, self.reading)
        answer: HttpResponseBase = super().change_view(request, object_id, form_url, extra_context)
        return answer


def _may_fill(column: Any, value: Any) -> bool:
    if isinstance(column, CharField):
        return True
    if column is None or not column.is_relation:
        return False
    try:
        for one in value if isinstance(value, list) else [value]:
            column.related_model._meta.pk.to_python(one)
    except ValidationError:
        return False
    return True


def filter_of(field: str, values: Callable[[], Iterable[str]], *, lookup: str = "") -> type[admin.SimpleListFilter]:
    """A list filter on a text column with known values. Django's own filter would read the whole table to find them.

    ``lookup``: where the column is, if it is another table's.
    """

    class ValueFilter(admin.SimpleListFilter):
        title = field
        parameter_name = field

        def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
            return [(value, value) for value in values()]

        def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
            value = self.value()
            return queryset if value is None else queryset.filter(**{lookup or field: value})

    return ValueFilter


def row_or_404(rows: QuerySet[M], number: int) -> M:
    """The row with a number from a URL. Raises Http404 if there is none, or if the number is too large for the column."""
    if number >= 2**63:
        raise Http404
    return get_object_or_404(rows, pk=number)


def row_number(text: str | None) -> int | None:
    """The row's number in a URL, or None."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None


def moment(at: datetime) -> SafeString:
    """An instant in UTC, to the second. Where the room is short, the time is below the date."""
    shown = at.astimezone(UTC)
    return format_html(
        '<span class="moment"><span>{}</span> <span>{}</span></span>', f"{shown:%Y-%m-%d}", f"{shown:%H:%M:%S}"
    )


def block(content: bytes | str) -> SafeString:
    """A text in a fixed-width block. A long text is cut, with a note."""
    text = content if isinstance(content, str) else content.decode(errors="replace")
    more = len(text) - SHOWN_CHARACTERS
    shown = text[:SHOWN_CHARACTERS].replace("\0", "\u2400") + (f"\n… {more:,} characters more" if more > 0 else "")
    return format_html(
        '<pre tabindex="0" style="white-space:pre-wrap;overflow-wrap:anywhere;max-height:40rem;overflow:auto">{}</pre>',
        shown,
    )


def pretty(content: bytes | str) -> SafeString:
    """Indented JSON, or the text unchanged if it cannot be parsed."""
    try:
        return block(json.dumps(json.loads(content), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return block(content)
