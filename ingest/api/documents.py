"""The OpenAPI document. It never changes while a process runs, so each process builds it once."""

from functools import cache

from django.http import HttpRequest, HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer

from ingest.api.probes import probe

MEDIA_TYPE = "application/vnd.oai.openapi+json"


@cache
def document() -> bytes:
    """The document as JSON."""
    generator = SchemaGenerator()  # type: ignore[no-untyped-call]
    schema = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    rendered: bytes = OpenApiJsonRenderer().render(schema)
    return rendered


@probe
def openapi(request: HttpRequest) -> HttpResponse:
    """``/api/v1/openapi.json``."""
    return HttpResponse(document(), content_type=MEDIA_TYPE)
