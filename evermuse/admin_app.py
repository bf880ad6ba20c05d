"""The Django app of the admin, which does not load its pages at the start of every process."""

from typing import Any

from django.contrib import admin
from django.contrib.admin.apps import SimpleAdminConfig
from django.contrib.admin.checks import check_admin_app, check_dependencies
from django.core import checks
from django.core.checks import CheckMessage, Tags


class AdminConfig(SimpleAdminConfig):
    """`evermuse.urls` loads the pages, so web has them. Without them, workers, beat and commands start a fifth sooner."""

    def ready(self) -> None:
        checks.register(check_dependencies, Tags.admin)
        checks.register(check_pages, Tags.admin)


def check_pages(app_configs: Any, **options: Any) -> list[CheckMessage]:
    """Django's check of all pages, which have to be loaded for it."""
    admin.autodiscover()
    found: list[CheckMessage] = check_admin_app(app_configs, **options)
    return found
