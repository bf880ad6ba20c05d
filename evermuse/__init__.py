"""Evermuse Ingest: the project package (settings, Celery application, URLs, front)."""

from evermuse.celery import app as celery_app

__all__ = ["celery_app"]
