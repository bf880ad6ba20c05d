"""Failed logins to the admin. django-axes counts them in PostgreSQL and locks the login for a while after too many."""

from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.backends import AxesStandaloneBackend
from axes.handlers.database import AxesDatabaseHandler
from axes.helpers import get_cool_off
from axes.models import AccessAttempt
from django.contrib import admin
from django.db.models import Sum
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse

from evermuse.web import addresses

# The tables of attempts and the start of the cool-off are internals of axes. A test fails with any other version.
WRITTEN_FOR = {"django-axes": "8.3.1"}

# The length of axes' column. PostgreSQL refuses longer names.
MAX_USERNAME = 255
# Enough for the people of an office that share one address, and too few to guess many names from one address.
FAILURES_OF_AN_ADDRESS = 20


def address(request: HttpRequest) -> str:
    """The address that a login comes from, as it is counted: of IPv6 the first of the client's network."""
    return addresses.counted_as(str(request.META.get("REMOTE_ADDR", ""))).partition("/")[0]


def username(request: HttpRequest, credentials: dict[str, Any] | None = None) -> str:
    """The name that a failure is counted under: as much of the given one as its column holds."""
    given = (credentials or {}).get("username") or request.POST.get("username") or ""
    return str(given)[:MAX_USERNAME]


class Throttle(AxesStandaloneBackend):  # type: ignore[misc]
    """Refuses a locked login. Code that logs in without a request is not limited."""

    def authenticate(self, request: HttpRequest | None, **credentials: Any) -> None:
        if request is not None:
            super().authenticate(request, **credentials)


class Handler(AxesDatabaseHandler):  # type: ignore[misc]
    """Also locks an address after too many failures, whichever names it tried."""

    def is_locked(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        return super().is_locked(request, credentials) or _failures(request) >= FAILURES_OF_AN_ADDRESS


def locked_out(request: HttpRequest, *_: object) -> HttpResponse:
    """The page in place of a locked login. It is the same for a name that exists and for one that does not."""
    seconds = int(cool_off.total_seconds()) if (cool_off := get_cool_off(request)) else 0
    context = {
        **admin.site.each_context(request),
        "title": "Logins are locked",
        "address": address(request),
        "minutes": -(-seconds // 60),
        "login_url": reverse("admin:login"),
    }
    answer = render(request, "admin/locked_out.html", context, status=429)
    answer["Retry-After"] = str(seconds)
    return answer


def _failures(request: HttpRequest) -> int:
    recent = AccessAttempt.objects.filter(
        ip_address=address(request) or None, attempt_time__gte=get_cool_off_threshold(request)
    )
    return int(recent.aggregate(n=Sum("failures_since_start"))["n"] or 0)
