"""Flower's configuration, which Flower runs (``--conf``): logins, headers, and a link back to the admin.

Metrics require a login too, and every response forbids framing. Flower has no settings for these, so its handlers and
its template loader are replaced before it creates its application.
"""

import os
import sys
from pathlib import Path

from flower.app import Flower as _Flower
from flower.urls import settings as _settings
from flower.views import BaseHandler as _BaseHandler
from flower.views import monitor as _monitor
from tornado.template import Loader as _Loader
from tornado.template import Template as _Template
from tornado.web import HTTPError as _HTTPError
from tornado.web import RequestHandler as _RequestHandler
from tornado.web import authenticated as _authenticated

from evermuse import flower_login as _flower_login
from evermuse import logs as _logs
from evermuse import serving as _serving
from evermuse.web import addresses as _addresses

# The code replaced here is internal to Flower and tornado. A test fails with any other version.
WRITTEN_FOR = {"flower": "2.2.0", "tornado": "6.6.1"}

# Names begin with an underscore, because Flower reads a plain name that it knows as an option.
_log = _logs.get(__name__)
_BEFORE = '<ul class="app-nav navbar-nav">'
_LINK = (
    '<li class="nav-item"><a class="nav-link" '
    'href="{{ handler.application.settings["evermuse_admin"] }}">Evermuse admin</a></li>'
)


class _LoaderWithAdminLink(_Loader):
    """Flower's templates, with a link to the admin in the navigation bar."""

    def _create_template(self, name: str) -> _Template:
        if name != "navbar.html":
            return super()._create_template(name)
        text = Path(self.root, name).read_text()
        return _Template(text.replace(_BEFORE, _BEFORE + _LINK, 1), name=name, loader=self)


# Flower's pages use inline styles and one inline script.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}


def _with_headers(handler: type[_RequestHandler]) -> None:
    """Send the headers with every response of a handler class, including errors and files."""
    before = handler.set_default_headers

    def set_default_headers(self: _RequestHandler) -> None:
        before(self)
        for name, value in _HEADERS.items():
            self.set_header(name, value)

    handler.set_default_headers = set_default_headers  # type: ignore[method-assign]


def _start_http_server(self: _Flower) -> None:
    """Flower's own, with one line instead of a traceback if the port is taken."""
    try:
        _serve(self)
    except OSError as error:
        address = f"{self.options.address}:{self.options.port}"
        sys.exit(
            f"evermuse: Flower cannot listen on {address}: {error.strerror}: free the port, or give another --port"
        )


_serve = _Flower.start_http_server
_failures = _flower_login.Failures()
_check = _BaseHandler.get_current_user


def _current_user(self: _BaseHandler) -> object:
    """Flower's own check of the password, for a limited number of wrong ones from an address."""
    address = _addresses.counted_as(self.request.remote_ip or "")
    if _failures.are_too_many(address):
        raise _HTTPError(429, "Too many wrong passwords. Try again later.")
    try:
        return _check(self)
    except TypeError:
        # Python compares no texts that are not ASCII.
        failure = _HTTPError(401)
    except _HTTPError as error:
        failure = error
    if failure.status_code == 401 and self.request.headers.get("Authorization"):
        _failures.add(address)
        _log.warning("flower.login_failed", address=address)
    raise failure


def _admin() -> str:
    """The admin's public address."""
    public = os.environ.get("EVERMUSE_PUBLIC_URL", "").rstrip("/")
    return f"{public or 'http://127.0.0.1:' + os.environ.get('EVERMUSE_PORT', '8000')}/admin/"


_serving.require_settings_or_exit("flower")
for _handler in (_RequestHandler, _BaseHandler):
    _with_headers(_handler)
_BaseHandler.get_current_user = _current_user
_Flower.start_http_server = _start_http_server
_monitor.Metrics.get = _authenticated(_monitor.Metrics.get)
_settings["template_loader"] = _LoaderWithAdminLink(_settings["template_path"])
_settings["evermuse_admin"] = _admin()

basic_auth = _flower_login.logins()
tasks_columns = "name,uuid,state,args,received,started,runtime,worker"
natural_time = True
