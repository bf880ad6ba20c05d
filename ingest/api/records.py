"""Reading the lake back."""

from typing import Any

from django.http import HttpResponse, HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from ingest.api import queries, schema
from ingest.api.base import PAGE_BYTES, ContractView, json_answer, raw_page, reader
from ingest.api.instants import parse
from ingest.api.negotiation import wants_ndjson
from ingest.api.queries import Cursor
from ingest.clients.credentials import credentials_of
from ingest.ndjson import STEP_BYTES, ndjson
from ingest.refusals import invalid_body, not_found
from lake import selectors
from lake.filters import FILTERS, Filter
from lake.selectors import RecordFilter

STREAM_PAGE = 500


class RecordListView(ContractView):
    """Records by filters, in the order of their last change."""

    @extend_schema(**schema.RECORD_LIST)
    def get(self, request: Request) -> HttpResponseBase:
        credentials = credentials_of(request)
        given = queries.known(request.query_params, ("limit", "cursor", *RecordFilter.NAMES))
        limit = queries.limit(given)
        wanted = _filter(credentials.workspace_id, given)
        scope = sorted((name, given[name]) for name in RecordFilter.NAMES if name in given)
        cursor = Cursor("records", credentials.workspace_id, scope)
        place = cursor.decode(given.get("cursor"))
        if wants_ndjson(request):
            return ndjson(
                request,
                reader(credentials),
                lambda after: selectors.record_page(
                    wanted, after=after, limit=STREAM_PAGE, max_bytes=STEP_BYTES, single_line=True
                ),
            )
        rows, following = selectors.record_page(wanted, after=place, limit=limit, max_bytes=PAGE_BYTES)
        return raw_page("records", rows, None if following is None else cursor.encode(following))


def _filter(workspace_id: int, given: dict[str, str]) -> RecordFilter:
    for name in RecordFilter.NAMES:
        if name in given and not given[name]:
            raise invalid_body(f"{name} must not be empty.")
    wanted = {one.parameter: _parsed(one, given) for one in FILTERS if one.parameter in given and one.choices}
    instants: dict[str, Any] = {
        n: parse(n, given[n]) for n in ("event_since", "event_until", "changed_since") if n in given
    }
    wanted |= {one.parameter: _parsed(one, given) for one in FILTERS if one.parameter in given and not one.choices}
    return RecordFilter(workspace_id=workspace_id, wanted=wanted, **instants)


def _parsed(one: Filter, given: dict[str, str]) -> str:
    try:
        return one.meant(given[one.parameter])
    except ValueError as error:
        raise invalid_body(f"{one.parameter} {error}.") from None


class RecordView(ContractView):
    """One record's current version."""

    @extend_schema(**schema.RECORD)
    def get(self, request: Request, record_id: str) -> HttpResponse:
        content = selectors.record(credentials_of(request).workspace_id, record_id)
        if content is None:
            raise not_found("There is no such record in this workspace.")
        return json_answer(content)
