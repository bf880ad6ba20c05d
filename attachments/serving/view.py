"""``GET /files?ticket=…``: serves a stored file by a URL that expires within the hour. The URL needs no API key."""

from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, StreamingHttpResponse
from django.utils.cache import get_conditional_response
from django.utils.http import http_date, parse_http_date_safe

from attachments.serving import links, objects, ranges
from attachments.serving.links import Ticket
from attachments.serving.objects import Found
from evermuse.errors import Refused, StoreUnavailable

# A download may not run scripts or be framed. A preview is framed by the admin, and may play media.
_DOWNLOAD_POLICY = "default-src 'none'; sandbox; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
_PREVIEW_POLICY = (
    "default-src 'none'; media-src 'self'; object-src 'self'; style-src 'unsafe-inline'; frame-ancestors 'self'"
)

_EXPIRED = "This download URL has expired. Get a new one from the list that it came from."
_NOT_OURS = "This is not a valid download URL. Check that you copied all of it."


def file(request: HttpRequest) -> HttpResponseBase:
    """Return the file, or the requested range of it."""
    try:
        return _file(request)
    except Refused as refused:
        answer = JsonResponse(refused.body(), status=refused.status)
        if refused.retry_after is not None:
            answer["Retry-After"] = str(refused.retry_after)
        if refused.status == 405:
            answer["Allow"] = "GET, HEAD"
        answer["Cache-Control"] = "no-store"
        return answer


def _file(request: HttpRequest) -> HttpResponseBase:
    if request.method not in {"GET", "HEAD"}:
        raise Refused(405, "METHOD_NOT_ALLOWED", "This path takes GET, HEAD.")
    ticket = _ticket(request.GET.get("ticket", ""))
    try:
        found = objects.find(ticket.key)
    except StoreUnavailable:
        message = "The object store does not answer right now. Try again."
        raise Refused(503, "UNAVAILABLE", message, retry_after=2) from None
    if found is None:
        raise Refused(404, "NOT_FOUND", "This file is no longer stored.")
    answer = _answer(request, ticket, found)
    _describe(answer, ticket, found)
    chosen = get_conditional_response(request, found.etag, found.modified, answer)  # type: ignore[arg-type]
    assert chosen is not None
    return chosen


def _ticket(signed: str) -> Ticket:
    try:
        return links.ticket_of(signed)
    except signing.SignatureExpired:
        raise Refused(403, "FORBIDDEN", _EXPIRED) from None
    except signing.BadSignature:
        raise Refused(403, "FORBIDDEN", _NOT_OURS) from None


def _answer(request: HttpRequest, ticket: Ticket, found: Found) -> HttpResponse | StreamingHttpResponse:
    """The file or a range of it, without the headers that every answer has."""
    try:
        part = ranges.wanted(_range(request, found), found.size)
    except ranges.Unsatisfiable:
        refusal = HttpResponse(status=416)
        refusal["Content-Range"] = f"bytes */{found.size}"
        return refusal
    first, last = part or (0, found.size - 1)
    answer: HttpResponse | StreamingHttpResponse
    if request.method == "HEAD":
        answer = HttpResponse()
    else:
        answer = StreamingHttpResponse(objects.pieces(ticket.key, first, last))
    answer["Content-Length"] = str(last - first + 1)
    if part is not None:
        answer.status_code = 206
        answer["Content-Range"] = f"bytes {first}-{last}/{found.size}"
    return answer


def _range(request: HttpRequest, found: Found) -> str:
    """The ``Range`` header, or empty if ``If-Range`` names another version of the file."""
    condition = request.headers.get("If-Range")
    if condition is not None and condition != found.etag:
        date = parse_http_date_safe(condition)
        if date is None or date != found.modified:
            return ""
    return request.headers.get("Range", "")


def _describe(answer: HttpResponseBase, ticket: Ticket, found: Found) -> None:
    is_preview = ticket.disposition == "inline"
    answer["Content-Type"] = ticket.content_type
    answer["Content-Disposition"] = ticket.disposition
    answer["Accept-Ranges"] = "bytes"
    answer["Cache-Control"] = "private, no-cache"
    answer["X-Content-Type-Options"] = "nosniff"
    answer["Content-Security-Policy"] = _PREVIEW_POLICY if is_preview else _DOWNLOAD_POLICY
    answer["X-Frame-Options"] = "SAMEORIGIN" if is_preview else "DENY"
    if found.etag is not None:
        answer["ETag"] = found.etag
    if found.modified is not None:
        answer["Last-Modified"] = http_date(found.modified)
