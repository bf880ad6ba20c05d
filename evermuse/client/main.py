"""The command `evermuse`."""

import io
import sys

from evermuse.client.commands import app


def main() -> None:
    """The entry point of the installed command."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        # A name that the console or the pipe cannot show must not end a run. Pipes of Windows rarely take all characters.
        sys.stdout.reconfigure(errors="backslashreplace")
    app()
