"""What all endpoints share: the order of refusals, and the shape of pages."""

from collections.abc import Iterable
from typing import Any, ClassVar

from django.http import HttpRequest, HttpResponse
from rest_framework.request import Request
from rest_framework.views import APIView

from evermuse.web.request import COUNTED, OWNER
from ingest.api import throttles
from ingest.api.authentication import credentials_of
from ingest.api.permissions import READ, WRITE
from ingest.clients.credentials import Credentials
from ingest.refusals import Refusal, method_not_allowed

# DRF documents neither the order of `initial` nor the parser context; a test fails at a version other than this one.
WRITTEN_FOR = {"djangorestframework": "3.18.3"}

# The size of a page's rows together. A single row may be larger.
PAGE_BYTES = 8 * 1024 * 1024
# The same for the batch list, whose answers do not wait for the budget of large answers.
SMALL_PAGE_BYTES = 512 * 1024
Page = dict[str, Any]


class ContractView(APIView):
    """Refuses in the contract's order: 405 · 401 · 429 · 403, then what the endpoint itself checks."""

    http_method_names = [  # noqa: RUF012  (declared by Django)
        "get",
        "post",
        "patch",
        "head",
    ]
    # For each verb the permissions, one of which is enough.
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
        # The workspace that the front counts this request's body and answer for (`evermuse.asgi`).
        request.META[OWNER] = f"workspace {credentials.workspace_id}"
        self.check_key(request)

    def check_key(self, request: Request) -> None:
        """Raise the 429 or the 403 if the request's key is over its rate or lacks the permission."""
        credentials = credentials_of(request)
        if wait := self._wait(credentials):
            raise Refusal(
                429,
                "RATE_LIMITED",
                f"More than {credentials.rate_limit} requests in a second with this key.",
                retry_after=wait,
            )
        needed = self.allowed[request.method or ""]
        if not credentials.permissions.intersection(needed):
            raise Refusal(403, "FORBIDDEN", f"This key lacks the permission {' or '.join(needed)}.")

    def _wait(self, credentials: Credentials) -> int:
        """Seconds until the request is within its key's rate, 0 if it is.

        A request is counted once, although it runs again when its body has arrived.
        """
        if self.request.META.get(COUNTED):
            return 0
        seconds = throttles.limiter.wait(str(credentials.api_key_id), credentials.rate_limit)
        self.request.META[COUNTED] = not seconds
        return seconds

    def initialize_request(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Request:
        """DRF's request without its parser context.

        The context refers to view and request. In that cycle, bodies would stay in memory until the collector runs.
        """
        made = super().initialize_request(request, *args, **kwargs)
        made.parser_context = {}
        return made

    def _handles(self, method: str) -> bool:
        return hasattr(self, method.lower()) or (method == "HEAD" and hasattr(self, "get"))

    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        """Add Allow to a 405, and Cache-Control: no-store to every response."""
        response = super().finalize_response(request, response, *args, **kwargs)
        if response.status_code == 405:
            response["Allow"] = ", ".join(self.allowed_methods)
        response["Cache-Control"] = "no-store"
        return response


def reader(credentials: Credentials) -> str:
    """The name under which a key's streams are counted."""
    return f"key {credentials.api_key_id}"


def json_answer(content: bytes | str, *, status: int = 200) -> HttpResponse:
    """A response whose JSON is already encoded."""
    return HttpResponse(content, status=status, content_type="application/json")


def raw_page(name: str, rows: Iterable[bytes], cursor: str | None) -> HttpResponse:
    """A page whose rows are already JSON: ``{"name": [rows], "nextCursor": …}``."""
    after = b"null" if cursor is None else b'"%s"' % cursor.encode()
    return json_answer(b'{"%s":[%s],"nextCursor":%s}' % (name.encode(), b",".join(rows), after))
