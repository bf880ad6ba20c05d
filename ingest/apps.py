"""The ingest app: accepts batches and brings them to COMPLETE."""

from django.apps import AppConfig
from django.core import checks

from evermuse import serving
from evermuse.checks import check_settings


class IngestConfig(AppConfig):
    """Registers the system checks of settings that belong to no app."""

    name = "ingest"
    verbose_name = "Ingest"

    def ready(self) -> None:
        checks.register(check_settings, serving.CHECKS)
