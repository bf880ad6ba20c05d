"""The attachment ledger of a batch."""

import msgspec
from django.http import HttpResponseBase, JsonResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from attachments import fetching, ledger
from evermuse import public_ids
from ingest import selectors
from ingest.admission import bodies
from ingest.api import queries
from ingest.api import schema_attachments as schema
from ingest.api.authentication import credentials_of
from ingest.api.base import PAGE_BYTES, ContractView, raw_page, reader
from ingest.api.negotiation import wants_ndjson
from ingest.api.queries import Cursor
from ingest.expired import detail_expired, kept
from ingest.ndjson import STEP_BYTES, ndjson
from ingest.refusals import not_found
from lake.envelope import Uri


class BatchAttachmentsView(ContractView):
    """The downloadable attachments of a batch with their attempts."""

    @extend_schema(**schema.BATCH_ATTACHMENTS)
    def get(self, request: Request, batch_id: str) -> HttpResponseBase:
        given = queries.known(request, ("limit", "cursor"))
        limit = queries.limit(given)
        credentials = credentials_of(request)
        cursor = Cursor("attachments", credentials.workspace_id, batch_id)
        place = cursor.decode(given.get("cursor"))
        batch = selectors.batch(credentials.workspace_id, batch_id)
        read = kept(lambda **how: ledger.encoded_page(batch.id, **how), lambda: ledger.has_expired(batch.id))
        if wants_ndjson(request):
            if ledger.has_expired(batch.id):
                raise detail_expired()
            return ndjson(
                request, reader(credentials), lambda after: read(after=after, limit=100, max_bytes=STEP_BYTES)
            )
        rows, following = read(after=place, limit=limit, max_bytes=PAGE_BYTES)
        return raw_page("attachments", rows, None if following is None else cursor.encode(list(following)))


class FreshUrl(msgspec.Struct, forbid_unknown_fields=True):
    """The body of the PATCH: a URL from which the file can be downloaded now."""

    vendor_url: Uri


class AttachmentView(ContractView):
    """One attachment of a batch."""

    @extend_schema(**schema.FRESH_URL)
    def patch(self, request: Request, batch_id: str, attachment_id: str) -> JsonResponse:
        """Replace the URL and start the download again. A stored file does not change."""
        url = bodies.read_object(request, FreshUrl).vendor_url
        batch = selectors.batch(credentials_of(request).workspace_id, batch_id)
        number = public_ids.attachment_number(attachment_id)
        if number is None or not fetching.replace_url(batch.id, number, url):
            raise not_found("There is no such attachment in this batch.")
        return JsonResponse(ledger.one(number))
