"""The product's settings with an additional app that makes workers hang and crash."""

from evermuse.settings import *  # noqa: F403
from evermuse.settings import INSTALLED_APPS

INSTALLED_APPS = [*INSTALLED_APPS, "tests.journeys.poison.Poison"]
