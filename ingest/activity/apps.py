"""Activity: figures for operators."""

from django.apps import AppConfig


class ActivityConfig(AppConfig):
    name = "ingest.activity"
    label = "activity"
