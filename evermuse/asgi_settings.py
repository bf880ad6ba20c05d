"""Exits with one line for each fault of the settings. `evermuse.asgi` imports this before the modules that read settings."""

from evermuse import serving

serving.require_settings_or_exit("web")
