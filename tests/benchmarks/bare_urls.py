"""A single view that compresses the body and inserts it."""

import zstandard
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.urls import path


def insert(request: HttpRequest) -> HttpResponse:
    """Does the minimum for a 202: stores the body durably."""
    body = request.META["wsgi.input"].read()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO bare_payload (content) VALUES (%s) RETURNING id",
            [zstandard.ZstdCompressor(level=1).compress(body)],
        )
        number = cursor.fetchone()[0]
    return HttpResponse(b'{"id": %d}' % number, content_type="application/json", status=202)


urlpatterns = [path("insert", insert)]
