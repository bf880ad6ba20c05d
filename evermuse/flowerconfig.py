"""Flower's configuration, run by Flower itself (``--conf``): metrics ask for the login too, pages lead back to the admin.

Flower has no setting for either. Its handlers and its template loader are set before it makes its application.
"""

import os
from pathlib import Path

from flower.urls import settings as _settings
from flower.views import monitor as _monitor
from tornado.template import Loader as _Loader
from tornado.template import Template as _Template
from tornado.web import authenticated as _authenticated

# Underscored: a plain name here that Flower knows would be taken for an option.
_BEFORE = '<ul class="app-nav navbar-nav">'
_LINK = (
    '<li class="nav-item"><a class="nav-link" '
    'href="{{ handler.application.settings["evermuse_admin"] }}">Evermuse admin</a></li>'
)


class _WithWayBack(_Loader):
    """Flower's templates, with a link to the admin in the bar that all pages have."""

    def _create_template(self, name: str) -> _Template:
        if name != "navbar.html":
            return super()._create_template(name)
        text = Path(self.root, name).read_text()
        return _Template(text.replace(_BEFORE, _BEFORE + _LINK, 1), name=name, loader=self)


def _admin() -> str:
    """What people reach the admin by."""
    public = os.environ.get("EVERMUSE_PUBLIC_URL", "").rstrip("/")
    return f"{public or 'http://127.0.0.1:' + os.environ.get('EVERMUSE_PORT', '8000')}/admin/"


_monitor.Metrics.get = _authenticated(_monitor.Metrics.get)
_settings["template_loader"] = _WithWayBack(_settings["template_path"])
_settings["evermuse_admin"] = _admin()

tasks_columns = "name,uuid,state,args,received,started,runtime,worker"
natural_time = True
