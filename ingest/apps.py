"""Ingest: accepts batches, keeps them, and leads them to COMPLETE."""

from django.apps import AppConfig


class IngestConfig(AppConfig):
    name = "ingest"
    verbose_name = "Ingest"
