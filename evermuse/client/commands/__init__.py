"""The sub-commands of `evermuse`, one module each."""

import typer

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
