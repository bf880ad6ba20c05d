"""Upload intents."""

from typing import Annotated

import msgspec
from django.conf import settings
from django.http import JsonResponse
from drf_spectacular.utils import extend_schema
from msgspec import UNSET, Meta, UnsetType
from rest_framework.request import Request

from attachments import upload_quota, uploads
from evermuse.instants import milliseconds
from ingest.admission import bodies
from ingest.api import schema_attachments as schema
from ingest.api.authentication import credentials_of
from ingest.api.base import ContractView
from ingest.clients import api_keys
from ingest.refusals import invalid_body, upload_quota_full
from lake.envelope import Text128, Text256, Text512


class UploadRequest(msgspec.Struct, forbid_unknown_fields=True):
    """The file that a client is about to upload. The rules are those of ``_attachments``."""

    filename: Text512 | UnsetType = UNSET
    mimeType: Text256 | UnsetType = UNSET
    size: Annotated[int, Meta(ge=0)] | UnsetType = UNSET
    sha1: Text128 | UnsetType = UNSET
    md5: Text128 | UnsetType = UNSET


class UploadListView(ContractView):
    """Create an upload intent."""

    @extend_schema(**schema.UPLOAD)
    def post(self, request: Request) -> JsonResponse:
        credentials = credentials_of(request)
        given = bodies.read_object(request, UploadRequest)
        size = None if given.size is UNSET else given.size
        if size is not None and size > settings.EVERMUSE_ATTACHMENT_MAX_BYTES:
            raise invalid_body(f"size: at most {settings.EVERMUSE_ATTACHMENT_MAX_BYTES} bytes are allowed.")
        try:
            intent = uploads.create(
                workspace_id=credentials.workspace_id,
                workspace=credentials.workspace_name,
                api_key_id=credentials.api_key_id,
                key_ends_at=api_keys.ends_at,
                declared=uploads.Declared(
                    filename=given.filename or "",
                    mime_type=given.mimeType or "",
                    size=size,
                    sha1=given.sha1 or "",
                    md5=given.md5 or "",
                ),
            )
        except upload_quota.QuotaFull as full:
            raise upload_quota_full(settings.EVERMUSE_UPLOAD_QUOTA_BYTES, full.retry_after) from None
        answer = {
            "uploadIntentId": intent.token,
            "uploadUrl": intent.url,
            "method": "PUT",
            "expiresAt": milliseconds(intent.expires_at),
        }
        return JsonResponse(answer, status=201)
