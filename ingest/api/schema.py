"""The OpenAPI description of each endpoint: parameters, bodies and answers."""

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers as s

from ingest.models import PERMISSIONS, Batch
from lake.filters import FILTERS
from lake.models import RemovedRecord

JSON, NDJSON = "application/json", "application/x-ndjson"


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The header ``x-api-key``."""

    target_class = "ingest.clients.credentials.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": "x-api-key"}


class ErrorItem(s.Serializer[Any]):
    """One error of one record."""

    index = s.IntegerField()
    code = s.CharField(max_length=64)
    message = s.CharField(max_length=2048)


class ErrorAnswer(s.Serializer[Any]):
    """The body of all error answers."""

    error = s.CharField(help_text="A stable code")
    message = s.CharField(help_text="What is wrong, as text for people")
    retryAfter = s.IntegerField(
        required=False, help_text="Seconds to wait before the request is sent again: on 409, 429 and 503"
    )
    details = s.JSONField(required=False)


class AcceptedAnswer(s.Serializer[Any]):
    """The body of a 202."""

    batchId = s.CharField(max_length=128)
    acceptedCount = s.IntegerField()
    rejectedCount = s.IntegerField()
    totalErrorCount = s.IntegerField()
    errors = s.ListField(child=ErrorItem())  # type: ignore[assignment]


class BatchStatus(s.Serializer[Any]):
    """A batch as GET reports it."""

    batchId = s.CharField()
    status = s.ChoiceField(choices=Batch.Status.values)
    createdAt = s.IntegerField(help_text="Unix epoch milliseconds")
    acceptedCount = s.IntegerField()
    rejectedCount = s.IntegerField()
    totalErrorCount = s.IntegerField()
    errors = s.ListField(child=ErrorItem())  # type: ignore[assignment]
    source = s.CharField()  # type: ignore[assignment]
    type = s.CharField()
    attachmentDownloadTotal = s.IntegerField(required=False)
    attachmentDownloadComplete = s.IntegerField(required=False)
    attachmentDownloadFailed = s.IntegerField(required=False)
    attachmentDownloadStatus = s.ChoiceField(
        choices=["PENDING", "IN_PROGRESS", "COMPLETE", "PARTIAL_FAILURE", "FAILED"], required=False
    )


def _query(name: str, description: str, *, enum: list[str] | None = None) -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.STR, OpenApiParameter.QUERY, description=description, enum=enum)


def _limit(description: str) -> OpenApiParameter:
    return OpenApiParameter("limit", OpenApiTypes.INT, OpenApiParameter.QUERY, description=description)


CURSOR = _query("cursor", "Where the page begins: a nextCursor of this list.")
PAGING = [_limit("1 to 100, default 20."), CURSOR]
# For lists whose rows may be large.
BOUNDED_PAGING = [
    _limit(
        "1 to 100, default 20. A page also ends at about 8 MiB, so that it may hold fewer rows; nextCursor alone tells "
        "whether there are more."
    ),
    CURSOR,
]
STREAMS = (
    "With `Accept: application/x-ndjson` all rows come as one stream, an object a line. A key may have "
    f"{settings.EVERMUSE_STREAMS_PER_KEY} streams open at once. A stream goes on after a pause of up to 5 minutes in the "
    "reading; one that is cut off lacks its last chunk."
)
BATCH_ID = OpenApiParameter("batch_id", OpenApiTypes.STR, OpenApiParameter.PATH)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key", OpenApiTypes.STR, OpenApiParameter.HEADER, description="1 to 256 characters, kept for 24 hours."
)
INSTANT = "ISO-8601 UTC"


def page_of(name: str, fields: dict[str, s.Field[Any, Any, Any, Any]]) -> Any:
    """The schema of a page of rows with these fields."""
    row = inline_serializer(f"{name}Row", fields)
    key = "records" if name.startswith("Record") or name == "Outcome" else name.lower()
    rows = s.ListField(child=row)
    return inline_serializer(f"{name}Page", {key: rows, "nextCursor": s.CharField(allow_null=True)})


_ERRORS = {
    400: "The request is malformed: `error` says how, `message` names the field and the rule.",
    401: "`UNAUTHORIZED`: the key is missing, malformed, unknown, revoked or expired.",
    403: "`FORBIDDEN`: the key lacks the permission.",
    404: "`NOT_FOUND`: it does not exist in the key's workspace.",
    409: "`IDEMPOTENCY_IN_PROGRESS`: a request with this key is in progress. Send it again after `retryAfter`.",
    410: "`EXPIRED`: the details have been removed after their retention.",
    413: "`PAYLOAD_TOO_LARGE`: the body has more than 5 MB, counted after decompression.",
    415: "`UNSUPPORTED_MEDIA_TYPE`: another content type or encoding.",
    422: "`IDEMPOTENCY_KEY_REUSED`: the key came with another body or query.",
    429: "`RATE_LIMITED`: more requests than the key's rate. Send it again after `retryAfter`.",
    500: "`INTERNAL_ERROR`: an internal error. Send the request again.",
    503: "`UNAVAILABLE`: the database does not answer, or too many bodies are arriving. Send it again after `retryAfter`.",
}
_TOO_MANY_STREAMS = " Or the key has as many streams open as it may: read one to its end first."


def errors(*codes: int, streams: bool = False, also: str = "") -> dict[Any, Any]:
    """The error answers of an endpoint: the common ones and its own. ``also`` is added to the text of the 429."""
    found = {code: _ERRORS[code] for code in (401, 403, 429, 500, 503, *codes)}
    found[429] += (_TOO_MANY_STREAMS if streams else "") + also
    return {code: OpenApiResponse(ErrorAnswer, description=text) for code, text in found.items()}


INGEST: dict[str, Any] = {
    "operation_id": "ingest",
    "summary": "Send a batch of 1 to 1,000 records",
    "description": 'One record, an array of records, or {"records": […]}; as NDJSON one record on each line. At most 5 MB.',
    "parameters": [
        _query("format", "An optional hint.", enum=["text", "audio", "video", "file"]),
        IDEMPOTENCY_KEY,
        OpenApiParameter("Content-Encoding", OpenApiTypes.STR, OpenApiParameter.HEADER, enum=["identity", "gzip"]),
    ],
    "request": {JSON: OpenApiTypes.ANY, NDJSON: OpenApiTypes.STR},
    "responses": {202: AcceptedAnswer, **errors(400, 409, 413, 415, 422)},
}
VALIDATE: dict[str, Any] = {
    "operation_id": "validateBatch",
    "summary": "A dry run: same bodies, limits and validator; all errors; stores nothing",
    "parameters": INGEST["parameters"][:1],
    "request": INGEST["request"],
    "responses": {
        200: inline_serializer(
            "Validation",
            {
                "acceptedCount": s.IntegerField(),
                "rejectedCount": s.IntegerField(),
                "totalErrorCount": s.IntegerField(),
                "errors": s.ListField(
                    child=inline_serializer(
                        "IndexedError",
                        {
                            "index": s.IntegerField(),
                            "code": s.CharField(),
                            "pointer": s.CharField(),
                            "message": s.CharField(),
                        },
                    )
                ),
            },
        ),
        **errors(400, 413, 415),
    },
}
BATCH_LIST: dict[str, Any] = {
    "operation_id": "listBatches",
    "summary": "Batches, newest first",
    "parameters": [
        *PAGING,
        _query("status", "Only batches in this state.", enum=list(Batch.Status.values)),
        _query("type", "Only batches of this record type."),
        _query("source", "Only batches of keys with this source label."),
        _query("since", f"Created at or after, {INSTANT}."),
        _query("until", f"Created before, {INSTANT}."),
    ],
    "responses": {
        200: inline_serializer(
            "BatchPage", {"batches": s.ListField(child=BatchStatus()), "nextCursor": s.CharField(allow_null=True)}
        ),
        **errors(400),
    },
}
BATCH: dict[str, Any] = {
    "operation_id": "getBatch",
    "summary": "One batch",
    "parameters": [BATCH_ID],
    "responses": {200: BatchStatus, **errors(404)},
}
_FIELD_ERROR = inline_serializer(
    "FieldError", {"code": s.CharField(), "pointer": s.CharField(), "message": s.CharField()}
)
BATCH_ERRORS: dict[str, Any] = {
    "operation_id": "listBatchErrors",
    "summary": "Every rejected record with all its errors and the payload as sent; NDJSON on Accept",
    "description": STREAMS,
    "parameters": [BATCH_ID, *BOUNDED_PAGING],
    "responses": {
        (200, JSON): page_of(
            "Errors",
            {"index": s.IntegerField(), "errors": s.ListField(child=_FIELD_ERROR), "payload": s.JSONField()},
        ),
        (200, NDJSON): OpenApiTypes.STR,
        **errors(400, 404, 410, streams=True),
    },
}
BATCH_RECORDS: dict[str, Any] = {
    "operation_id": "listBatchRecords",
    "summary": "The outcome of each record sent; NDJSON on Accept",
    "description": STREAMS,
    "parameters": [BATCH_ID, *BOUNDED_PAGING],
    "responses": {
        (200, JSON): page_of(
            "Outcome",
            {
                "index": s.IntegerField(),
                "outcome": s.ChoiceField(
                    choices=["pending", "created", "updated", "identical", "superseded", "rejected"]
                ),
                "recordId": s.CharField(allow_null=True),
            },
        ),
        (200, NDJSON): OpenApiTypes.STR,
        **errors(400, 404, 410, streams=True),
    },
}
BATCH_RETRY: dict[str, Any] = {
    "operation_id": "retryBatch",
    "summary": "Retry what failed in the batch",
    "parameters": [BATCH_ID],
    "request": None,
    "responses": {202: BatchStatus, **errors(404)},
}
_RECORD = inline_serializer(
    "Record",
    {
        "recordId": s.CharField(),
        "batchId": s.CharField(),
        "firstAcceptedAt": s.IntegerField(),
        "updatedAt": s.IntegerField(),
        "version": s.IntegerField(),
        "storageUri": s.CharField(),
        "record": s.JSONField(),
    },
)
RECORD_LIST: dict[str, Any] = {
    "operation_id": "listRecords",
    "summary": "Read records; NDJSON (all matches) on Accept",
    "description": STREAMS,
    "parameters": [
        *BOUNDED_PAGING,
        *[_query(one.parameter, one.description, enum=list(one.choices) or None) for one in FILTERS],
        _query("event_since", f"Happened at or after, {INSTANT}."),
        _query("event_until", f"Happened before, {INSTANT}."),
        _query("changed_since", f"Written at or after, {INSTANT}."),
    ],
    "responses": {
        (200, JSON): inline_serializer(
            "RecordPage", {"records": s.ListField(child=_RECORD), "nextCursor": s.CharField(allow_null=True)}
        ),
        (200, NDJSON): OpenApiTypes.STR,
        **errors(400, streams=True),
    },
}
KNOWN_RECORDS: dict[str, Any] = {
    "operation_id": "knownRecords",
    "summary": "Which versions of records are held, by their digests",
    "description": "A digest is the SHA-256 of the normalized envelope and the bytes of data, as the documentation defines it.",
    "request": inline_serializer(
        "DigestList", {"digests": s.ListField(child=s.RegexField("^[0-9a-f]{64}$"), min_length=1, max_length=1000)}
    ),
    "responses": {
        200: inline_serializer(
            "KnownVersions", {"known": s.ListField(child=s.ChoiceField(choices=["current", "replaced", "unknown"]))}
        ),
        **errors(400, 413, 415),
    },
}
REMOVED_RECORDS: dict[str, Any] = {
    "operation_id": "listRemovedRecords",
    "summary": "Records that were removed, in the order of their removal; NDJSON on Accept",
    "parameters": [
        *PAGING,
        _query(
            "since", f"Removed at or after, {INSTANT}. Removals are listed for 90 days; an older instant answers 410."
        ),
    ],
    "responses": {
        (200, JSON): page_of(
            "Removed",
            {
                "recordId": s.CharField(),
                "removedAt": s.IntegerField(help_text="Unix epoch milliseconds"),
                "reason": s.ChoiceField(choices=RemovedRecord.Reason.values),
            },
        ),
        (200, NDJSON): OpenApiTypes.STR,
        **errors(400, 410, streams=True),
    },
}
RECORD: dict[str, Any] = {
    "operation_id": "getRecord",
    "summary": "One record's current version",
    "parameters": [OpenApiParameter("record_id", OpenApiTypes.STR, OpenApiParameter.PATH)],
    "responses": {200: _RECORD, **errors(404)},
}

KEY: dict[str, Any] = {
    "operation_id": "getKey",
    "summary": "What the key of the request may do",
    "description": "Any valid key may ask, whatever its permissions.",
    "responses": {
        200: inline_serializer(
            "Key",
            {
                "label": s.CharField(),
                "source": s.CharField(),
                "permissions": s.ListField(child=s.ChoiceField(choices=PERMISSIONS)),
                "rateLimit": s.IntegerField(allow_null=True, help_text="Requests per second; null: no limit"),
                "expiresAt": s.IntegerField(allow_null=True, help_text="Unix epoch milliseconds; null: never"),
                "products": s.ListField(
                    child=inline_serializer(
                        "KeyProduct", {"productId": s.CharField(), "projectIds": s.ListField(child=s.CharField())}
                    )
                ),
            },
        ),
        **errors(),
    },
}

_PROBES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "/api/v1/schemas/record.json": ("recordSchema", "The envelope as JSON Schema", {"application/schema+json": {}}),
    "/healthz": ("healthz", "The process lives", {"application/json": {}}),
    "/readyz": ("readyz", "Whether the servers answer; 503 without the database", {"application/json": {}}),
    "/metrics": ("metrics", "Prometheus metrics, for this host and allowed networks", {"text/plain": {}}),
}


def finish(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """drf-spectacular's last hook: corrects the paths and adds the probes, which are not DRF views."""
    result["paths"] = {path.rstrip("/"): operations for path, operations in result["paths"].items()}
    for operations in result["paths"].values():
        for operation in operations.values():
            _tell_retry_after(operation["responses"])
    for path, (name, summary, content) in _PROBES.items():
        answer = {"description": summary, "content": content}
        operation = {"operationId": name, "summary": summary, "tags": ["operation"], "responses": {"200": answer}}
        result["paths"][path] = {"get": {**operation, "security": []}}
    return result


def _tell_retry_after(responses: dict[str, dict[str, Any]]) -> None:
    """Describe Retry-After for the answers whose body has retryAfter."""
    for status in ("409", "429", "503"):
        if status in responses:
            text = "Seconds, the same number as retryAfter"
            responses[status]["headers"] = {"Retry-After": {"schema": {"type": "integer"}, "description": text}}
