"""The sub-commands of `evermuse`, one module each."""

from importlib import import_module
from typing import Annotated

import typer

from evermuse.client import terminal
from evermuse.client.commands import batches, convert, export, login, records, send

app = typer.Typer(
    name="evermuse",
    help="Send conversations to Evermuse, resume, and read them back.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _show_version(is_wanted: bool) -> None:
    if is_wanted:
        # A module that takes long to import, and that only this option needs.
        metadata = import_module("importlib.metadata")
        try:
            found = metadata.version("evermuse-ingest")
        except metadata.PackageNotFoundError:
            found = "in a checkout that is not installed"
        typer.echo(f"evermuse {found}")
        raise typer.Exit()


@app.callback()
def root(
    is_version_wanted: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Send conversations to Evermuse, resume, and read them back."""


for command in (
    login.login,
    send.send,
    batches.batches,
    batches.status,
    batches.errors,
    records.records,
    records.get,
    batches.retry,
    records.validate,
    export.export,
    convert.convert,
):
    app.command()(terminal.interruptible(command))
