"""What all endpoints share: the order in which a request is refused, and the shape of pages."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from ingest.api import throttles
from ingest.api.permissions import READ, WRITE
from ingest.clients.credentials import Credentials, credentials_of
from ingest.refusals import Refusal, method_not_allowed

# A page's rows are about this large at most; one row may be larger.
PAGE_BYTES = 8 * 1024 * 1024
# The fields of a page: its rows and where the next one begins.
Page = dict[str, Any]


class ContractView(APIView):
    """Refuses in the contract's order: 405 · 401 · 429 · 403, then what the endpoint itself checks."""

    http_method_names = [  # noqa: RUF012  (declared by Django)
        "get",
        "post",
        "patch",
        "head",
    ]
    # Any one of these permissions is enough, for each verb.
    allowed: ClassVar[dict[str, tuple[str, ...]]] = {
        "GET": (READ, WRITE),
        "HEAD": (READ, WRITE),
        "POST": (WRITE,),
        "PATCH": (WRITE,),
    }

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        """DRF's hook before the verb's method."""
        method = request.method or ""
        if method.lower() not in self.http_method_names or not self._handles(method):
            raise method_not_allowed(self.allowed_methods)
        self.format_kwarg = None
        request.accepted_renderer, request.accepted_media_type = self.perform_content_negotiation(request)
        credentials = credentials_of(request)
        # Who the body, which is gathered later, and the answers are counted for (`evermuse.asgi`).
        request.META["evermuse.owner"] = f"workspace {credentials.workspace_id}"
        if wait := self.wait(credentials):
            raise Refusal(
                429,
                "RATE_LIMITED",
                f"More than {credentials.rate_limit} requests in a second with this key.",
                retry_after=wait,
            )
        if not credentials.permissions.intersection(self.allowed[method]):
            needed = " or ".join(self.allowed[method])
            raise Refusal(403, "FORBIDDEN", f"This key lacks the permission {needed}.")

    def wait(self, credentials: Credentials) -> int:
        """Seconds until this request is within its key's rate, 0 when it is; asking counts it, once for a request that
        runs again with its body."""
        if self.request.META.get("evermuse.counted"):
            return 0
        seconds = throttles.limiter.wait(str(credentials.api_key_id), credentials.rate_limit)
        self.request.META["evermuse.counted"] = not seconds
        return seconds

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """DRF's request, without the parsers' context: that holds view and request, in a ring that only the collector
        of cycles would free, bodies with it."""
        made = super().initialize_request(request, *args, **kwargs)
        made.parser_context = {}
        return made

    def _handles(self, method: str) -> bool:
        return hasattr(self, method.lower()) or (method == "HEAD" and hasattr(self, "get"))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Adds Allow to a 405 and forbids caches to keep answers."""
        response = super().finalize_response(request, response, *args, **kwargs)
        if response.status_code == 405:
            response["Allow"] = ", ".join(self.allowed_methods)
        response["Cache-Control"] = "no-store"
        return response


def reader(credentials: Credentials) -> str:
    """What a key's streams are counted by."""
    return f"key {credentials.api_key_id}"


def json_answer(content: bytes | str, *, status: int = 200) -> HttpResponse:
    """An answer whose JSON is ready, byte for byte."""
    return HttpResponse(content, status=status, content_type="application/json")


def raw_page(name: str, rows: Iterable[bytes], cursor: str | None) -> HttpResponse:
    """A page whose rows are JSON already: ``{"name": [rows], "nextCursor": …}``."""
    after = b"null" if cursor is None else b'"%s"' % cursor.encode()
    return json_answer(b'{"%s":[%s],"nextCursor":%s}' % (name.encode(), b",".join(rows), after))
