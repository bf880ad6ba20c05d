"""The command `evermuse`."""

import gc
import io
import sys
from importlib import import_module
from typing import Any

# `terminal.INTERRUPTED`, which is imported with the sub-commands.
_INTERRUPTED = 4


def main() -> None:
    """The entry point of the installed command."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # A name that the console or the pipe cannot show must not end a run. Pipes of Windows rarely take all characters.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        app = _commands()
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(_INTERRUPTED)
    app()


def _commands() -> Any:
    """The sub-commands. Imported without garbage collections, which would take a quarter of the time and free nothing."""
    gc.disable()
    app = import_module("evermuse.client.commands").app
    gc.freeze()
    gc.enable()
    return app
