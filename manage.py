#!/usr/bin/env python
"""Django's command line for Evermuse Ingest."""

import os
import sys

from evermuse import command_line

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evermuse.settings")
    command_line.main(sys.argv)
