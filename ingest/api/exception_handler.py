"""Error answers, never with a stack trace. All have the contract's shape, except the admin's pages."""

import sys
from typing import Any

from django.core.exceptions import DisallowedHost, SuspiciousOperation
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from rest_framework.exceptions import APIException, MethodNotAllowed

from evermuse import error_pages, logs, runbooks
from evermuse.answer_deadline import NoAnswer
from evermuse.errors import DATABASE_AWAY, StoreUnavailable
from evermuse.web.request import BodyRefused
from ingest.refusals import (
    Refusal,
    cold_unavailable,
    invalid_body,
    method_not_allowed,
    no_answer,
    not_found,
    unavailable,
)

log = logs.get(__name__)

# For exceptions of DRF, by status. Our views raise refusals.
CODES = {
    401: "UNAUTHORIZED", 403: "FORBIDDEN", 404: "NOT_FOUND", 413: "PAYLOAD_TOO_LARGE", 415: "UNSUPPORTED_MEDIA_TYPE",
    429: "RATE_LIMITED", 500: "INTERNAL_ERROR",
}  # fmt: skip


def render(refusal: Refusal) -> JsonResponse:
    """The answer of a refusal. It has Retry-After if the body has retryAfter."""
    response = JsonResponse(refusal.body(), status=refusal.status)
    if refusal.retry_after is not None:
        response["Retry-After"] = str(refusal.retry_after)
    return response


def handle(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """DRF's EXCEPTION_HANDLER."""
    if isinstance(error, Refusal):
        return render(error)
    if isinstance(error, Http404):
        return render(not_found())
    if isinstance(error, DATABASE_AWAY):
        log.error("request.database_away", error=str(error).strip().splitlines()[0] if str(error) else repr(error))
        return render(no_answer() if isinstance(error.__cause__, NoAnswer) else unavailable())
    if isinstance(error, StoreUnavailable):
        log.error("request.store_away", dependency="objectStore", error=str(error)[:200])
        return render(cold_unavailable())
    if isinstance(error, SuspiciousOperation):
        return render(invalid_body(f"The request is malformed: {error}."[:500]))
    if isinstance(error, MethodNotAllowed):
        return render(method_not_allowed(context["view"].allowed_methods))
    if isinstance(error, APIException):
        code = CODES.get(error.status_code, "INVALID_BODY")
        return render(Refusal(error.status_code, code, str(error.detail)))
    log.exception("request.failed", view=type(context.get("view")).__name__)
    return server_error()


def server_error(request: HttpRequest | None = None) -> HttpResponse:
    """Django's handler500: an exception outside of the API's views."""
    if request is None or not error_pages.is_wanted(request):
        return render(Refusal(500, "INTERNAL_ERROR", "An internal error occurred. Send the request again."))
    error = sys.exception()
    if isinstance(error, DATABASE_AWAY):
        return error_pages.of_server("PostgreSQL", runbooks.DATABASE_AWAY)
    if isinstance(error, StoreUnavailable):
        return error_pages.of_server("The object store", runbooks.STORE_AWAY)
    return error_pages.of_status(500)


def path_unknown(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's handler404."""
    return error_pages.of_status(404) if error_pages.is_wanted(request) else render(not_found())


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's handler400: requests that Django refuses, for example for an unknown host."""
    if error_pages.is_wanted(request) and not isinstance(exception, DisallowedHost):
        return error_pages.of_status(exception.status if isinstance(exception, BodyRefused) else 400)
    return render(Refusal(400, "INVALID_BODY", "The request is malformed, or its Host is not one of ours."))


def forbidden(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Django's handler403."""
    return error_pages.of_status(403) if error_pages.is_wanted(request) else render(_not_allowed())


def csrf_failed(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Django's CSRF_FAILURE_VIEW."""
    return error_pages.of_refused_form() if error_pages.is_wanted(request) else render(_not_allowed())


def _not_allowed() -> Refusal:
    return Refusal(403, "FORBIDDEN", "Not allowed.")
