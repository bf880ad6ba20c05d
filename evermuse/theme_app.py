"""The Django app of the admin's theme, with our admin site in place of the theme's own."""

from django.apps import AppConfig
from django.contrib import admin
from django.contrib.admin import sites
from django.utils.module_loading import import_string

# By its name: it needs models, which are not loaded yet when Django reads this module.
SITE = "evermuse.site.Site"


class ThemeConfig(AppConfig):
    """Like `unfold.apps.DefaultAppConfig`; before django.contrib.admin, whose models register at the site that it finds."""

    name = "unfold"

    def ready(self) -> None:
        admin.site = sites.site = import_string(SITE)()
