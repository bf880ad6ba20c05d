"""Parts that the OpenAPI descriptions of endpoints share: authentication, parameters, pages and error answers.

The descriptions themselves are in `schema_batches`, `schema_records`, `schema_attachments` and `schema_key`.
"""

from typing import Any

from django.conf import settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, inline_serializer
from rest_framework import serializers as s

JSON, NDJSON = "application/json", "application/x-ndjson"


class ApiKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The header ``x-api-key``."""

    target_class = "ingest.api.authentication.ApiKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "apiKey", "in": "header", "name": "x-api-key"}


class ErrorAnswer(s.Serializer[Any]):
    """The body of all error answers."""

    error = s.CharField(help_text="A stable code")
    message = s.CharField(help_text="What is wrong, as text for people")
    retryAfter = s.IntegerField(
        required=False, help_text="Seconds to wait before the request is sent again: on 409, 429 and 503"
    )
    details = s.JSONField(required=False)


def query_parameter(name: str, description: str, *, enum: list[str] | None = None) -> OpenApiParameter:
    """A parameter of the query that is a string."""
    kind = {"type": "string", "minLength": 1}
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=description, enum=enum)


def instant_parameter(name: str, description: str) -> OpenApiParameter:
    """A parameter of the query that is an instant. ``description``: what it is compared with."""
    kind = {"type": "string", "format": "date-time"}
    return OpenApiParameter(name, kind, OpenApiParameter.QUERY, description=f"{description}, ISO-8601 UTC.")


def _limit(description: str) -> OpenApiParameter:
    kind = {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    return OpenApiParameter("limit", kind, OpenApiParameter.QUERY, description=description)


CURSOR = OpenApiParameter(
    "cursor",
    {"type": "string", "minLength": 1, "maxLength": 256},
    OpenApiParameter.QUERY,
    description="Where the page begins: a nextCursor of this list.",
)
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
    f"{settings.EVERMUSE_STREAMS_PER_KEY} streams open at once. A stream continues after its reader has paused for up to "
    "5 minutes. A stream that is cut off lacks its last chunk."
)
BATCH_ID = OpenApiParameter("batch_id", OpenApiTypes.STR, OpenApiParameter.PATH)
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 256},
    OpenApiParameter.HEADER,
    description="Kept for 24 hours.",
)
CONTENT_ENCODING = OpenApiParameter(
    "Content-Encoding", OpenApiTypes.STR, OpenApiParameter.HEADER, enum=["identity", "gzip"]
)


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
