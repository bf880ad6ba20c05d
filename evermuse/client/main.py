"""The command `evermuse`."""

from evermuse.client.commands import app


def main() -> None:
    """The entry point of the installed command."""
    app()
