"""The admin site: who may enter, how long a session lasts, and which URLs it refuses."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.core.exceptions import BadRequest, PermissionDenied
from django.core.paginator import InvalidPage
from django.db import DataError
from django.http import HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse
from django.utils import timezone
from unfold.sites import UnfoldAdminSite

from evermuse import labels, roles

# Counted from the login. Activity does not extend it.
SESSION_LIFETIME = timedelta(hours=12)
# What a login without a role may still reach.
OPEN = frozenset({"logout", "password_change", "password_change_done"})


class Site(UnfoldAdminSite):  # type: ignore[misc]
    """Unfold's site. Every page requires a role."""

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """Also spell the labels of the models' fields."""
        super().register(model_or_iterable, admin_class, **options)
        for model in [model_or_iterable] if isinstance(model_or_iterable, type) else model_or_iterable:
            labels.spell(model)

    def admin_view(self, view: Callable[..., HttpResponseBase], cacheable: bool = False) -> Any:
        inner: Callable[..., HttpResponseBase] = super().admin_view(view, cacheable)

        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            _refuse_nul(request)
            name = request.resolver_match.url_name if request.resolver_match else None
            if self.has_permission(request) and name not in OPEN and not roles.has_role(request):
                if request.path_info.endswith(".json"):
                    raise PermissionDenied
                return self._without_role(request)
            try:
                return inner(request, *args, **kwargs)
            except (DataError, OverflowError) as error:
                # A value that passed a filter's conversion but cannot be queried, such as a year beyond the calendar.
                raise BadRequest("A value in the URL is outside the range that the database accepts.") from error

        # Django reads these attributes of the view.
        for mark in ("csrf_exempt", "login_required"):
            if hasattr(inner, mark):
                setattr(guarded, mark, getattr(inner, mark))
        return guarded

    def _without_role(self, request: HttpRequest) -> HttpResponseBase:
        """A page instead of JSON, because a person has just logged in and needs to know whom to ask, and a way out."""
        context = {**self.each_context(request), "title": "This login has no role"}
        return TemplateResponse(request, "admin/no_role.html", context, status=403)

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        answer: HttpResponseBase = super().login(request, extra_context)
        if request.method == "POST" and answer.status_code == 302 and request.user.is_authenticated:
            request.session.set_expiry(timezone.now() + SESSION_LIFETIME)
        return answer

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        if not roles.may_look(request):
            raise PermissionDenied
        answer: HttpResponseBase = super().index(request, extra_context)
        return answer

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponseBase:
        try:
            answer: HttpResponseBase = super().search(request, extra_context)
        except (InvalidPage, ValueError) as error:
            raise BadRequest("page must be a page number.") from error
        return answer


def _refuse_nul(request: HttpRequest) -> None:
    """Refuse NUL: no column can hold it, and psycopg raises an error at the query."""
    named = (request.path, *request.GET, *(value for values in request.GET.lists() for value in values[1]))
    if any("\0" in text for text in named):
        raise BadRequest("The URL contains a NUL character.")
