#!/usr/bin/env python
"""Django's command line for Evermuse Ingest."""

import os
import sys

from django.core.management import execute_from_command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evermuse.settings")
    try:
        execute_from_command_line(sys.argv)
    except Exception as error:
        # By its name: importing the class reads the settings again, and fails again.
        if type(error).__name__ != "ConfigurationError":
            raise
        sys.exit(f"evermuse: {error}")
