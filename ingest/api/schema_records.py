"""The OpenAPI descriptions of the endpoints that read records."""

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, inline_serializer
from rest_framework import serializers as s

from ingest.api.schema import (
    BOUNDED_PAGING,
    JSON,
    NDJSON,
    PAGING,
    STREAMS,
    errors,
    instant_parameter,
    page_of,
    query_parameter,
)
from lake.filters import FILTERS
from lake.models import RemovedRecord

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
        *[query_parameter(one.parameter, one.description, enum=list(one.choices) or None) for one in FILTERS],
        instant_parameter("event_since", "Happened at or after"),
        instant_parameter("event_until", "Happened before"),
        instant_parameter("changed_since", "Written at or after"),
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
    "request": {
        JSON: inline_serializer(
            "DigestList", {"digests": s.ListField(child=s.RegexField("^[0-9a-f]{64}$"), min_length=1, max_length=1000)}
        )
    },
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
        instant_parameter("since", "Removed in the last 90 days (earlier: 410), at or after"),
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
