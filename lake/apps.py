"""Lake: the record's schema, its identity, the archive and the index."""

from django.apps import AppConfig


class LakeConfig(AppConfig):
    name = "lake"
    verbose_name = "Data lake"
