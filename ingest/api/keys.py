"""The key of the request, as its owner may see it."""

from django.http import JsonResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from evermuse.instants import milliseconds
from ingest.api import schema_key as schema
from ingest.api.authentication import credentials_of
from ingest.api.base import ContractView
from ingest.clients import workspaces
from ingest.models import PERMISSIONS, ApiKey
from ingest.refusals import unauthorized


class KeyView(ContractView):
    """What the key of the request may do. Any permission is enough."""

    allowed = {"GET": PERMISSIONS, "HEAD": PERMISSIONS}  # noqa: RUF012  (ContractView declares it)

    @extend_schema(**schema.KEY)
    def get(self, request: Request) -> JsonResponse:
        credentials = credentials_of(request)
        key = ApiKey.objects.select_related("workspace").filter(pk=credentials.api_key_id).first()
        if key is None:  # deleted since the request was authenticated
            raise unauthorized()
        return JsonResponse(
            {
                "label": key.label,
                "source": key.source,
                "permissions": key.permissions,
                "rateLimit": credentials.rate_limit or None,
                "expiresAt": milliseconds(key.expires_at),
                "products": workspaces.describe(key.workspace)["products"],
            }
        )
