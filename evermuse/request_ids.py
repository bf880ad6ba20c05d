"""Gives every request an id. Log events contain it, and the response returns it as ``X-Request-ID``."""

import re
import uuid
from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from structlog import contextvars

from evermuse.web.request import REQUEST_ID

# Keep the id of a proxy if it cannot forge a log line.
_GIVEN = re.compile(r"\A[A-Za-z0-9._-]{8,64}\Z")


class RequestIds:
    """Django middleware. Threads serve many requests, so the id is unbound after each one."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        given = request.META.get("HTTP_X_REQUEST_ID", "")
        request_id = request.META.setdefault(REQUEST_ID, given if _GIVEN.match(given) else uuid.uuid4().hex)
        with contextvars.bound_contextvars(request_id=request_id):
            response = self._get_response(request)
        response["X-Request-ID"] = request_id
        return response
