"""The Django app of the problem inbox."""

from django.apps import AppConfig
from django.core import checks

from ingest.problems.checks import problems_of_settings


class ProblemsConfig(AppConfig):
    """Registers the system check of the alert settings."""

    name = "ingest.problems"
    label = "problems"
    verbose_name = "Problems"

    def ready(self) -> None:
        checks.register(_check)


def _check(**_: object) -> list[checks.CheckMessage]:
    return problems_of_settings()
