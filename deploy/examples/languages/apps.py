"""The Django app of the example."""

from django.apps import AppConfig


class LanguagesConfig(AppConfig):
    """Named in ``EVERMUSE_APPS``."""

    name = "deploy.examples.languages"
    label = "languages"
