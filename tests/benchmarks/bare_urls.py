"""One view: compress the body and INSERT it."""

import zstandard
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path


def insert(request: HttpRequest) -> HttpResponse:
    """What a 202 costs at the least: the body, durable."""
    body = request.META["wsgi.input"].read()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO bare_payload (content) VALUES (%s) RETURNING id",
            [zstandard.ZstdCompressor(level=1).compress(body)],
        )
        number = cursor.fetchone()[0]
    return HttpResponse(b'{"id": %d}' % number, content_type="application/json", status=202)


urlpatterns = [path("insert", insert)]
