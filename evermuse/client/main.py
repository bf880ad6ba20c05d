"""The command `evermuse`."""

from evermuse.client.commands import app, convert

__all__ = ["convert", "main"]


def main() -> None:
    """The entry point of the installed command."""
    app()
