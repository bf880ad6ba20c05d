"""`evermuse login`."""

import os
import sys
from typing import Annotated

import typer

from evermuse.client import profiles, terminal

_HELP = """Store a server's address and a key under a name.

The key is read from a prompt or from standard input, and never from an argument, because other users can see arguments. It is
stored in the system's keyring if there is one, else in a file that only you can read. EVERMUSE_URL and EVERMUSE_API_KEY take
precedence.

Examples:

evermuse login --url https://evermuse.acme.com

evermuse login --url http://127.0.0.1:8000 --profile local < var/demo-api-key
"""


def login(
    url: Annotated[str | None, typer.Option(help="The server's address.")] = None,
    profile: Annotated[str, typer.Option(help="The name of the profile.")] = profiles.DEFAULT,
    patience: terminal.Patience = 5.0,
) -> None:
    """Store a server's address and a key."""
    is_terminal = sys.stdin is not None and sys.stdin.isatty()
    address = url or os.environ.get(profiles.URL, "")
    if not address and is_terminal:
        address = typer.prompt("Address of the server", default="http://127.0.0.1:8000")
    if not address:
        raise terminal.fail("name the server with --url", terminal.USAGE)
    key = typer.prompt("API key", hide_input=True) if is_terminal else sys.stdin.readline() if sys.stdin else ""
    key = key.strip().removeprefix("\ufeff")
    profile = profile or profiles.DEFAULT
    if not key:
        raise terminal.fail("standard input has no key", terminal.USAGE)
    with terminal.reported(), terminal.client_of(profiles.Login(address, key), patience) as client:
        found = client.key()
    try:
        place = profiles.save(profile, profiles.Login(client.url, key))
    except (profiles.NoKey, OSError) as error:
        raise terminal.fail(str(error), terminal.USAGE) from None
    terminal.output.print(f"Logged in with the key {found.label!r}.")
    for product in found.products:
        terminal.output.print(
            f"Product {product.product_id}, with projects: {', '.join(product.project_ids) or 'none'}"
        )
    if not found.products:
        terminal.output.print("The workspace has no products yet.")
    terminal.output.print(f"The key is in {place}.")


login.__doc__ = _HELP
