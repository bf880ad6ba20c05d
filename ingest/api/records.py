"""Reading records."""

from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from msgspec import Meta
from rest_framework.request import Request

from evermuse import replica
from ingest.admission import bodies
from ingest.api import queries
from ingest.api import schema_records as schema
from ingest.api.authentication import credentials_of
from ingest.api.base import PAGE_BYTES, ContractView, json_answer, raw_page, reader
from ingest.api.instants import parse
from ingest.api.negotiation import wants_ndjson
from ingest.api.permissions import READ, WRITE
from ingest.api.queries import Cursor
from ingest.ndjson import STEP_BYTES, ndjson
from ingest.refusals import expired, invalid_body, not_found
from lake import known_versions, removal, selectors, standby
from lake.filters import FILTERS, Filter
from lake.retention import REMOVED_RECORDS
from lake.selectors import RecordFilter

STREAM_PAGE = 500
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


class RecordListView(ContractView):
    """Records by filters, in the order of their last change."""

    @extend_schema(**schema.RECORD_LIST)
    def get(self, request: Request) -> HttpResponseBase:
        credentials = credentials_of(request)
        given = queries.known(request, ("limit", "cursor", *RecordFilter.NAMES))
        limit = queries.limit(given)
        wanted = _filter(credentials.workspace_id, given)
        scope = sorted((name, given[name]) for name in RecordFilter.NAMES if name in given)
        cursor = Cursor("records", credentials.workspace_id, scope)
        place = cursor.decode(given.get("cursor"))

        def page(after: Any, **how: Any) -> tuple[list[bytes], Any]:
            return standby.read(wanted.workspace_id, lambda: selectors.record_page(wanted, after=after, **how))

        if wants_ndjson(request):
            return ndjson(
                request,
                reader(credentials),
                lambda after: page(after, limit=STREAM_PAGE, max_bytes=STEP_BYTES, single_line=True),
            )
        rows, following = page(place, limit=limit, max_bytes=PAGE_BYTES)
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
        return one.parsed(given[one.parameter])
    except ValueError as error:
        raise invalid_body(f"{one.parameter} {error}.") from None


class DigestList(msgspec.Struct, forbid_unknown_fields=True):
    """Digests of versions that a client may have to send."""

    digests: Annotated[list[Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]], Meta(min_length=1, max_length=1000)]


class KnownRecordsView(ContractView):
    """Which versions of records the workspace holds."""

    allowed = ContractView.allowed | {"POST": (READ, WRITE)}

    @extend_schema(**schema.KNOWN_RECORDS)
    def post(self, request: Request) -> JsonResponse:
        given = bodies.read_object(request, DigestList)
        digests = [bytes.fromhex(text) for text in given.digests]
        return JsonResponse({"known": known_versions.of(credentials_of(request).workspace_id, digests)})


class RemovedRecordsView(ContractView):
    """Records that were removed, in the order of their removal."""

    @extend_schema(**schema.REMOVED_RECORDS)
    def get(self, request: Request) -> HttpResponseBase:
        credentials = credentials_of(request)
        given = queries.known(request, ("limit", "cursor", "since"))
        limit = queries.limit(given)
        since = parse("since", given["since"]) if "since" in given else None
        cursor = Cursor("removed records", credentials.workspace_id, given.get("since"))
        place = cursor.decode(given.get("cursor"))
        _refuse_expired(since if place is None else datetime.fromisoformat(place[0]))

        def page(after: Any, size: int) -> tuple[list[bytes], Any]:
            workspace_id = credentials.workspace_id
            return standby.read(
                workspace_id, lambda: removal.page(workspace_id, since=since or BEGINNING, after=after, limit=size)
            )

        if wants_ndjson(request):
            return ndjson(request, reader(credentials), lambda after: page(after, STREAM_PAGE))
        rows, following = page(place, limit)
        return raw_page("removed", rows, None if following is None else cursor.encode(following))


def _refuse_expired(since: datetime | None) -> None:
    """Raise 410 if ``since`` is older than the list of removals, because the reader may have missed some."""
    if since is not None and since < REMOVED_RECORDS.before(timezone.now()):
        raise expired("Removals of that time are no longer listed: read all records again.")


class RecordView(ContractView):
    """The current version of one record."""

    @extend_schema(**schema.RECORD)
    def get(self, request: Request, record_id: str) -> HttpResponse:
        workspace_id = credentials_of(request).workspace_id
        content = replica.read_current(lambda: selectors.record(workspace_id, record_id))
        if content is None:
            raise not_found("There is no such record in this workspace.")
        return json_answer(content)
