"""The sub-commands of `evermuse`, one module each."""

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


@app.callback()
def root() -> None:
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
