"""The OpenAPI descriptions of the endpoints that take, check, list and retry batches."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import inline_serializer
from rest_framework import serializers as s

from ingest.api.schema import (
    BATCH_ID,
    BOUNDED_PAGING,
    CONTENT_ENCODING,
    IDEMPOTENCY_KEY,
    JSON,
    NDJSON,
    PAGING,
    STREAMS,
    errors,
    instant_parameter,
    page_of,
    query_parameter,
)
from ingest.models import Batch


class ErrorItem(s.Serializer[Any]):
    """One error of one record."""

    index = s.IntegerField()
    code = s.CharField(max_length=64)
    message = s.CharField(max_length=2048)


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


# Records are not described here: one that breaks a rule is rejected alone. `/api/v1/schemas/record.json` describes them.
_BATCH = {"oneOf": [{"type": "object"}, {"type": "array", "minItems": 1, "maxItems": 1000, "items": {}}]}
INGEST: dict[str, Any] = {
    "operation_id": "ingest",
    "summary": "Send a batch of 1 to 1,000 records",
    "description": 'One record, an array of records, or {"records": […]}; as NDJSON one record on each line. At most 5 MB.',
    "parameters": [
        query_parameter("format", "An optional hint.", enum=["text", "audio", "video", "file"]),
        CONTENT_ENCODING,
        IDEMPOTENCY_KEY,
    ],
    "request": {JSON: _BATCH, NDJSON: OpenApiTypes.STR},
    "responses": {202: AcceptedAnswer, **errors(400, 409, 413, 415, 422)},
}
VALIDATE: dict[str, Any] = {
    "operation_id": "validateBatch",
    "summary": "A dry run: same bodies, limits and validator; all errors; stores nothing",
    "parameters": INGEST["parameters"][:2],
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
        query_parameter("status", "Only batches in this state.", enum=list(Batch.Status.values)),
        query_parameter("type", "Only batches of this record type."),
        query_parameter("source", "Only batches of keys with this source label."),
        instant_parameter("since", "Created at or after"),
        instant_parameter("until", "Created before"),
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
