"""The Accept header selects JSON or NDJSON."""

import pytest
from django.http import HttpRequest
from rest_framework.request import Request

from ingest.api.negotiation import wants_ndjson


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/x-ndjson", True),
        ("Application/X-NDJSON; charset=utf-8", True),
        ("application/x-ndjson;q=0.5, text/html", True),
        ("application/x-ndjson, application/json;q=0.9", True),
        ("application/json, application/x-ndjson", True),
        ("*/*, application/x-ndjson", True),
        ("application/x-ndjson;q=0", False),
        ("application/x-ndjson; q=0.000", False),
        ("application/x-ndjson;q=0.5, application/json", False),
        ("application/json", False),
        ("application/*", False),
        ("*/*", False),
        ("", False),
        ("application/x-ndjson-not", False),
    ],
)
def test_ndjson_is_sent_if_accept_names_it_with_no_lower_quality_than_json(accept: str, wanted: bool) -> None:
    request = HttpRequest()
    request.META["HTTP_ACCEPT"] = accept
    assert wants_ndjson(Request(request)) is wanted
