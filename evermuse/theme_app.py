"""The Django app of the admin's theme, with our admin site instead of the theme's."""

from django.apps import AppConfig
from django.contrib import admin
from django.contrib.admin import sites
from django.utils.module_loading import import_string

# As a name, because it needs models, which are not loaded when Django reads this module.
SITE = "evermuse.site.Site"


class ThemeConfig(AppConfig):
    """Like `unfold.apps.DefaultAppConfig`. It must come before django.contrib.admin, whose models register at this
    site.
    """

    name = "unfold"

    def ready(self) -> None:
        admin.site = sites.site = import_string(SITE)()
