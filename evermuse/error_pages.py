"""The admin's error pages: what happened, and what to do.

They read neither the session nor the database, because these may be what has failed.
"""

from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from structlog import contextvars

ADMIN = "/admin/"
# Seconds until another try makes sense while a server is away.
RETRY_AFTER = 5

_TEXTS = {
    400: (
        "This request cannot be read",
        "A value in the address or in the form is not one that the page accepts. Go back and choose it again.",
    ),
    403: ("Your role does not permit this", "If you need it, ask an administrator for another role."),
    404: ("There is no such page", "The link may be old, or retention has removed what it led to."),
    408: ("The form did not arrive in time", "Nothing was saved. Go back and send it again."),
    413: ("The form is too large", "Nothing was saved. Choose fewer rows, or send less text."),
    500: (
        "An internal error occurred",
        "Try again. If it occurs again, search the log of the web process for the request id below.",
    ),
}


def is_wanted(request: HttpRequest) -> bool:
    """Whether a person sees the answer. The admin's scripts read JSON."""
    return request.path_info.startswith(ADMIN) and not request.path_info.endswith(".json")


def of_status(status: int) -> HttpResponse:
    """The page for a status in `_TEXTS`."""
    return _page(status, *_TEXTS[status])


def of_refused_form() -> HttpResponse:
    """The page for a form without a valid CSRF token."""
    return _page(
        403,
        "The form was not accepted",
        "The login has changed since the page was opened, for example in another tab. Nothing was saved. "
        "Go back, load the page again and repeat it.",
    )


def of_server(name: str, runbook: str) -> HttpResponse:
    """The page while a server that it needs does not answer. ``runbook``: its address."""
    answer = _page(
        503, f"{name} does not answer", "This page needs it. Load the page again when it is back.", runbook=runbook
    )
    answer["Retry-After"] = str(RETRY_AFTER)
    return answer


def _page(status: int, title: str, text: str, *, runbook: str = "") -> HttpResponse:
    context = {
        "title": title,
        "text": text,
        "runbook": runbook,
        "request_id": contextvars.get_contextvars().get("request_id", ""),
    }
    # Without the request, because context processors would read the session.
    answer = HttpResponse(render_to_string("admin/error.html", context), status=status)
    answer["Cache-Control"] = "no-store"
    return answer
