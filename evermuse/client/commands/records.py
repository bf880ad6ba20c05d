"""`evermuse records`, `get` and `validate`."""

import itertools
from typing import Annotated

import typer

from evermuse.client import endpoints, terminal
from evermuse.client.send.dry_run import rehearse
from evermuse.client.send.running import Reader
from evermuse.client.send.sources import NothingToRead, find

_RECORDS_HELP = """Print records as NDJSON, data exactly as it was sent. All filters must match.

Examples:

evermuse records --type call --tag export

evermuse records --participant ada@customer.example --limit 10

evermuse records --vendor-id crm:c-1 --event-since 2026-01-01T00:00:00Z
"""
_GET_HELP = """Print one record as JSON.

Example:

evermuse get rec_0b7e6e1c54a4d1a4b0a86a1a3f0f1b6f
"""
_VALIDATE_HELP = """Check files by the same rules as the server, without a server.

Products and projects are not checked, because only the server knows them. Exit code: 0 all valid, 1 some are not.

Examples:

evermuse validate calls.ndjson

evermuse validate export/ --json
"""
_Text = Annotated[str | None, typer.Option()]


def records(
    type: _Text = None,
    product_id: _Text = None,
    project_id: _Text = None,
    thread_id: _Text = None,
    tag: _Text = None,
    participant: Annotated[str | None, typer.Option(help="The id or e-mail address of a participant.")] = None,
    vendor_id: Annotated[str | None, typer.Option(help="NAME:VALUE; % and : in the name as %25 and %3A.")] = None,
    event_since: _Text = None,
    event_until: _Text = None,
    changed_since: _Text = None,
    limit: Annotated[int | None, typer.Option(min=1, help="The most records to print. Default: all.")] = None,
    profile: terminal.Profile = None,
    url: terminal.Url = None,
) -> None:
    """Print records as NDJSON."""
    filters = {
        "type": type, "product_id": product_id, "project_id": project_id, "thread_id": thread_id, "tag": tag,
        "participant": participant, "vendor_id": vendor_id, "event_since": event_since, "event_until": event_until,
        "changed_since": changed_since,
    }  # fmt: skip
    with terminal.reported(), terminal.connect(profile, url) as client:
        for line in itertools.islice(client.lines(endpoints.records(filters)), limit):
            terminal.write_line(line)


records.__doc__ = _RECORDS_HELP


def get(
    record_id: Annotated[str, typer.Argument(metavar="ID", help="The id of a record.")],
    profile: terminal.Profile = None,
    url: terminal.Url = None,
) -> None:
    """Print one record."""
    with terminal.reported(), terminal.connect(profile, url) as client:
        terminal.write_line(client.raw(endpoints.record(record_id)))


get.__doc__ = _GET_HELP


def validate(
    paths: terminal.Paths,
    as_json: terminal.AsJson = False,
) -> None:
    """Check files without a server."""
    try:
        sources = find(paths)
    except (NothingToRead, OSError) as error:
        raise terminal.fail(str(error), terminal.USAGE) from None
    raise typer.Exit(rehearse(Reader(sources), None, as_json=as_json, shows_batches=False))


validate.__doc__ = _VALIDATE_HELP
