"""Django's middleware for people with a browser: sessions, login, messages. API requests, which have a key, pass by."""

from typing import TYPE_CHECKING, Any

from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin

# No page that anybody logs in to stands below it.
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
    """Django's, for pages."""


class Login(_NotForTheApi, AuthenticationMiddleware):
    """Django's, for pages."""


class Messages(_NotForTheApi, MessageMiddleware):
    """Django's, for pages."""
