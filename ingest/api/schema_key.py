"""The OpenAPI description of the endpoint that describes the caller's key."""

from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers as s

from ingest.api.schema import errors
from ingest.models import PERMISSIONS

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
