"""Django's middleware for pages: sessions, login, messages. API requests skip it, because they have a key."""

from typing import TYPE_CHECKING, Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

# No page with a login is below these paths.
API = "/api/"

if TYPE_CHECKING:
    _Base = MiddlewareMixin
else:
    _Base = object


class _NotForTheApi(_Base):
    def __call__(self, request: HttpRequest) -> HttpResponseBase | Any:
        if request.path_info.startswith(API):
            return self.get_response(request)
        return super().__call__(request)


class Sessions(_NotForTheApi, SessionMiddleware):
    """Django's sessions, for pages."""


class Login(_NotForTheApi, AuthenticationMiddleware):
    """Django's login, for pages."""


class Messages(_NotForTheApi, MessageMiddleware):
    """Django's messages, for pages."""
