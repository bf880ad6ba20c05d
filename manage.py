#!/usr/bin/env python
"""Django's command line for Evermuse Ingest."""

import os
import signal
import sys

if __name__ == "__main__":
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        # While Python imports, Ctrl-C ends it at once and without a traceback. There is nothing to clean up yet.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from evermuse import command_line

    signal.signal(signal.SIGINT, handler)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "evermuse.settings")
    command_line.main(sys.argv)
