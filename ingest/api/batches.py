"""POST /api/v1/ingest, its dry run, the list of batches, one batch, and the outcomes of its records."""

from collections.abc import Callable
from typing import Any

from django.db import Error as DatabaseError
from django.http import HttpResponse, HttpResponseBase, JsonResponse
from drf_spectacular.utils import extend_schema
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from attachments import fetching
from evermuse import wake
from evermuse.errors import OutcomeUnknown
from evermuse.web.environ import DIFFERENT_KEYS, IDEMPOTENCY_KEY
from ingest import selectors
from ingest.admission import bodies
from ingest.admission.admit import Admitted, Submission, admit, examine_body
from ingest.api import queries, serializers, validation
from ingest.api import schema_batches as schema
from ingest.api.authentication import ApiKeyAuthentication, confirm, credentials_of
from ingest.api.base import PAGE_BYTES, SMALL_PAGE_BYTES, ContractView, json_answer, raw_page, reader
from ingest.api.instants import parse
from ingest.api.negotiation import wants_ndjson
from ingest.api.queries import Cursor
from ingest.clients.credentials import Credentials
from ingest.expired import detail_expired, kept
from ingest.models import Batch
from ingest.ndjson import STEP_BYTES, ndjson
from ingest.pipeline import detail, processing, transitions
from ingest.refusals import Refusal, invalid_body
from lake import selectors as lake_selectors

FORMATS = ("text", "audio", "video", "file")
STREAM_PAGE = 500


class IngestView(ContractView):
    """Take a batch.

    The key may come from this process's cache, because the statement that stores the batch compares it with the key as it
    is now. The key is looked up before any other answer is sent.
    """

    def get_authenticators(self) -> list[BaseAuthentication]:
        """DRF's hook."""
        return [ApiKeyAuthentication(may_use_cache=True)]

    def check_key(self, request: Request) -> None:
        """Check the key; repeat the check with a fresh lookup if a cached key does not pass."""
        try:
            super().check_key(request)
        except Refusal:
            if not credentials_of(request).is_cached:
                raise
            self._confirm(request)

    def _confirm(self, request: Request) -> Credentials:
        """The credentials as they are now. Raises the 401, 429 or 403 that they lead to."""
        if credentials_of(request).is_cached:
            confirm(request)
            super().check_key(request)
        return credentials_of(request)

    @extend_schema(**schema.INGEST)
    def post(self, request: Request) -> HttpResponse:
        try:
            answer = self._admit(request)
        except (DatabaseError, OutcomeUnknown):
            raise  # the batch may have been stored: the client has to ask again
        except Exception:
            self._confirm(request)
            raise
        response = json_answer(answer.text, status=202)
        if answer.is_replay:
            response["Idempotent-Replayed"] = "true"
        return response

    def _admit(self, request: Request) -> Admitted:
        _check_format(request)
        key = _idempotency_key(request)
        body = bodies.read(request)
        submission = Submission(credentials_of(request), body, request.META.get("QUERY_STRING", ""), key)
        return admit(submission, confirm=lambda: self._confirm(request))


class ValidateView(ContractView):
    """A dry run: the counts that a batch would get, with all errors. Stores nothing."""

    @extend_schema(**schema.VALIDATE)
    def post(self, request: Request) -> HttpResponseBase:
        _check_format(request)
        return validation.answer(examine_body(bodies.read(request), credentials_of(request)))


def _check_format(request: Request) -> None:
    if not request.META.get("QUERY_STRING"):
        return
    values = request.query_params.getlist("format")
    if any(value not in FORMATS for value in values) or len(values) > 1:
        raise invalid_body(f"format must be one of {', '.join(FORMATS)}.")


def _idempotency_key(request: Request) -> str | None:
    given = request.META.get(IDEMPOTENCY_KEY)
    if given is None:
        return None
    if request.META.get(DIFFERENT_KEYS):
        raise Refusal(400, "INVALID_IDEMPOTENCY_KEY", "The request has several Idempotency-Keys. Send one.")
    try:
        key = str(given).encode("latin-1").decode()
    except UnicodeError:
        key = str(given)
    if not 1 <= len(key) <= 256:
        raise Refusal(400, "INVALID_IDEMPOTENCY_KEY", "Idempotency-Key must have 1 to 256 characters.")
    return key


class BatchListView(ContractView):
    """Batches, newest first."""

    FILTERS = ("status", "type", "source", "since", "until")

    @extend_schema(**schema.BATCH_LIST)
    def get(self, request: Request) -> JsonResponse:
        credentials = credentials_of(request)
        given = queries.known(request, ("limit", "cursor", *self.FILTERS))
        limit = queries.limit(given)
        filters = {name: given.get(name) for name in self.FILTERS}
        order = "batches by time" if {"since", "until"} & given.keys() else "batches"
        cursor = Cursor(order, credentials.workspace_id, sorted(filters.items(), key=str))
        found, following = selectors.page(
            credentials.workspace_id,
            after=cursor.decode(given.get("cursor")),
            limit=limit,
            status=queries.choice(given, "status", Batch.Status.values),
            type=(_text(given, "type") or "").lower() or None,
            source=_text(given, "source"),
            since=parse("since", given["since"]) if "since" in given else None,
            until=parse("until", given["until"]) if "until" in given else None,
            max_bytes=SMALL_PAGE_BYTES,
        )
        following_cursor = None if following is None else cursor.encode(following)
        return JsonResponse({"batches": serializers.statuses(found), "nextCursor": following_cursor})


def _text(given: dict[str, str], name: str) -> str | None:
    value = given.get(name)
    if value is not None and (not value or "\0" in value):
        raise invalid_body(f"{name} must be a text without NUL, of at least one character.")
    return value


class BatchView(ContractView):
    """One batch."""

    @extend_schema(**schema.BATCH)
    def get(self, request: Request, batch_id: str) -> JsonResponse:
        batch = selectors.batch(credentials_of(request).workspace_id, batch_id)
        return JsonResponse(serializers.statuses([batch])[0])


class BatchErrorsView(ContractView):
    """Every rejected record of a batch, with the payload as it was sent."""

    @extend_schema(**schema.BATCH_ERRORS)
    def get(self, request: Request, batch_id: str) -> HttpResponseBase:
        return _rows(request, batch_id, "errors", lake_selectors.rejected_page, detail.errors_have_expired)


class BatchRecordsView(ContractView):
    """The outcome of each record sent."""

    @extend_schema(**schema.BATCH_RECORDS)
    def get(self, request: Request, batch_id: str) -> HttpResponseBase:
        return _rows(request, batch_id, "records", lake_selectors.outcome_page, detail.outcomes_have_expired)


def _rows(
    request: Request, batch_id: str, name: str, page: Any, has_expired: Callable[[int], bool]
) -> HttpResponseBase:
    """A page or a stream of the rows that ``page(batch, after=, limit=)`` returns by index."""
    given = queries.known(request, ("limit", "cursor"))
    limit = queries.limit(given)
    credentials = credentials_of(request)
    cursor = Cursor(name, credentials.workspace_id, batch_id)
    place = cursor.decode(given.get("cursor"))
    batch = selectors.batch(credentials.workspace_id, batch_id)
    read = kept(lambda **how: page(batch.id, batch.record_count, **how), lambda: has_expired(batch.id))
    if wants_ndjson(request):
        if has_expired(batch.id):
            raise detail_expired()
        return ndjson(
            request,
            reader(credentials),
            lambda after: read(after=after, limit=STREAM_PAGE, max_bytes=STEP_BYTES, single_line=True),
        )
    rows, following = read(after=place[0] if place else None, limit=limit, max_bytes=PAGE_BYTES)
    return raw_page(name, rows, None if following is None else cursor.encode([following]))


class BatchRetryView(ContractView):
    """Retry a failed batch, or its failed attachments and processors."""

    @extend_schema(**schema.BATCH_RETRY)
    def post(self, request: Request, batch_id: str) -> JsonResponse:
        batch = selectors.batch(credentials_of(request).workspace_id, batch_id)
        if transitions.reopen(batch.id):
            wake.landing(batch.id)
        else:
            fetching.retry_failed(batch.id)
            processing.retry(batch.id)
        batch.refresh_from_db()
        return JsonResponse(serializers.statuses([batch])[0], status=202)
