"""Content-Security-Policy by path: the API allows nothing, pages allow as little as their libraries need.

Policies by path need less code than a library that sets them by view.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from evermuse import store_address

NOTHING = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
# Swagger UI writes styles into elements and uses icons from data: URLs. Its script has its own URL.
DOCS = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)

# The documentation's theme has inline styles, and its search is a form that leads to another page.
GUIDE = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)


def admin_policy() -> str:
    """The admin's theme compiles expressions (Alpine) and writes styles. Previews come from here or the object store."""
    store = store_address.public_origin()
    return (
        "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        f"img-src 'self' data: {store}; media-src 'self' {store}; frame-src 'self' {store}; font-src 'self' data:; "
        "connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )


class SecurityHeaders:
    """Django middleware."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._admin = admin_policy()

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self._get_response(request)
        if request.path.startswith("/admin"):
            policy = self._admin
        elif request.path.startswith("/api/v1/docs"):
            policy = DOCS
        elif request.path.startswith("/docs/"):
            policy = GUIDE
        else:
            policy = NOTHING
        response.headers.setdefault("Content-Security-Policy", policy)
        return response
