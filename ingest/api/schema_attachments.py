"""The OpenAPI description of attachments and uploads."""

from typing import Any

from django.conf import settings
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema_serializer, inline_serializer
from rest_framework import serializers as s

from ingest.api.schema import BATCH_ID, BOUNDED_PAGING, JSON, NDJSON, STREAMS, errors, page_of


@extend_schema_serializer(component_name="DownloadAttempt")
class AttemptAnswer(s.Serializer[Any]):
    """An attempt to download an attachment."""

    startedAt = s.IntegerField()
    finishedAt = s.IntegerField(allow_null=True)
    httpStatus = s.IntegerField(allow_null=True)
    bytes = s.IntegerField()
    code = s.CharField()
    message = s.CharField()


@extend_schema_serializer(component_name="AttachmentError")
class FileErrorAnswer(s.Serializer[Any]):
    """Why an attachment is not there."""

    code = s.CharField()
    message = s.CharField()


_TEXTS = ("type", "filename", "vendorUrl", "mimeType", "sha256", "sha1", "md5", "storageUri")


def _fields() -> dict[str, s.Field[Any, Any, Any, Any]]:
    return {
        "attachmentId": s.CharField(),
        "recordId": s.CharField(),
        "recordIndex": s.IntegerField(),
        "position": s.IntegerField(),
        **{name: s.CharField(allow_null=True) for name in _TEXTS},
        "downloadUrl": s.CharField(
            allow_null=True,
            help_text="Serves the stored file for an hour, without a key, under its own name; null until it is stored",
        ),
        "state": s.ChoiceField(choices=["PENDING", "IN_PROGRESS", "COMPLETE", "FAILED"]),
        "size": s.IntegerField(allow_null=True),
        "nextAttemptAt": s.IntegerField(allow_null=True),
        "error": FileErrorAnswer(allow_null=True),
        "attempts": s.ListField(child=AttemptAnswer()),
    }


BATCH_ATTACHMENTS: dict[str, Any] = {
    "operation_id": "listBatchAttachments",
    "summary": "The attachment ledger of a batch; NDJSON on Accept",
    "description": STREAMS,
    "parameters": [BATCH_ID, *BOUNDED_PAGING],
    "responses": {
        (200, JSON): page_of("Attachments", _fields()),
        (200, NDJSON): OpenApiTypes.STR,
        **errors(400, 404, 410, streams=True),
    },
}
FRESH_URL: dict[str, Any] = {
    "operation_id": "replaceAttachmentUrl",
    "summary": "A fresh URL for a file whose URL expired; the download starts again",
    "parameters": [BATCH_ID, OpenApiParameter("attachment_id", OpenApiTypes.STR, OpenApiParameter.PATH)],
    "request": {
        JSON: {
            "type": "object",
            "properties": {"vendor_url": {"type": "string", "format": "uri", "maxLength": 2048}},
            # A serializer's fields would all be optional, because the method is PATCH.
            "required": ["vendor_url"],
            "additionalProperties": False,
        }
    },
    "responses": {200: inline_serializer("Attachment", _fields()), **errors(400, 404, 413, 415)},
}
_QUOTA = (
    " Or `UPLOAD_QUOTA`: the workspace's uploads that no record has named yet hold, or have reserved, "
    f"{settings.EVERMUSE_UPLOAD_QUOTA_BYTES} bytes, which is all that they may."
)
UPLOAD: dict[str, Any] = {
    "operation_id": "createUpload",
    "summary": "An upload intent: PUT the file to its URL, then name it as upload_intent_id in a record",
    "request": {
        JSON: inline_serializer(
            "UploadRequest",
            {
                "filename": s.CharField(required=False, max_length=512, allow_blank=True),
                "mimeType": s.CharField(required=False, max_length=256, allow_blank=True),
                "size": s.IntegerField(required=False, min_value=0, max_value=settings.EVERMUSE_ATTACHMENT_MAX_BYTES),
                "sha1": s.CharField(required=False, max_length=128, allow_blank=True),
                "md5": s.CharField(required=False, max_length=128, allow_blank=True),
            },
        )
    },
    "responses": {
        201: inline_serializer(
            "UploadIntent",
            {
                "uploadIntentId": s.CharField(),
                "uploadUrl": s.URLField(help_text="Takes one PUT; of exactly size bytes where size was declared"),
                "method": s.CharField(),
                "expiresAt": s.IntegerField(help_text="Unix epoch milliseconds"),
            },
        ),
        **errors(400, 413, 415, also=_QUOTA),
    },
}
