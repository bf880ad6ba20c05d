"""The attachment ledger of a batch."""

from django.http import HttpResponseBase, JsonResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from attachments import ledger
from ingest import api_schema as schema
from ingest import queries, selectors
from ingest.authentication import credentials_of
from ingest.negotiation import wants_ndjson
from ingest.queries import Cursor
from ingest.views.base import ContractView, ndjson


class BatchAttachmentsView(ContractView):
    """Every downloadable attachment of a batch, with its attempts."""

    @extend_schema(**schema.BATCH_ATTACHMENTS)
    def get(self, request: Request, batch_id: str) -> HttpResponseBase:
        given = queries.known(request.query_params, ("limit", "cursor"))
        limit = queries.limit(given)
        credentials = credentials_of(request)
        cursor = Cursor("attachments", credentials.workspace_id, batch_id)
        place = cursor.decode(given.get("cursor"))
        batch = selectors.batch(credentials.workspace_id, batch_id)
        if wants_ndjson(request):
            return ndjson(lambda after: ledger.encoded_page(batch.id, after=after, limit=100))
        rows, following = ledger.page(batch.id, after=place, limit=limit)
        return JsonResponse(
            {"attachments": rows, "nextCursor": None if following is None else cursor.encode(list(following))}
        )
