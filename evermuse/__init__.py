"""Evermuse Ingest: the project package (settings, Celery application, URLs, front), and the client in `evermuse.client`.

Importing it loads neither Django nor Celery, so the client can be installed without them. `evermuse.settings` imports
`evermuse.celery`, so every process that uses Django has the Celery application.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from evermuse.celery import app as celery_app

__all__ = ["celery_app"]


def __getattr__(name: str) -> Any:
    if name == "celery_app":
        return import_module("evermuse.celery").app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
