"""Ingest: accepts batches, keeps them, and leads them to COMPLETE."""

from django.apps import AppConfig
from django.core import checks

from evermuse.checks import check_settings


class IngestConfig(AppConfig):
    """Registers the checks of the product's settings, which belong to no app."""

    name = "ingest"
    verbose_name = "Ingest"

    def ready(self) -> None:
        checks.register(check_settings)
