"""`evermuse batches`, `status`, `errors` and `retry`."""

import itertools
import sys
import time
from typing import Annotated, Any

import msgspec
import typer

from evermuse.client import endpoints, terminal
from evermuse.client.answers import Batch
from evermuse.client.blocking import Client
from evermuse.client.commands.next_call import server_options

_BatchId = Annotated[str, typer.Argument(metavar="ID", help="The id of a batch.")]
_BATCHES_HELP = """List batches, newest first.

Examples:

evermuse batches

evermuse batches --status FAILED --since 2026-11-01T00:00:00Z --json
"""
_STATUS_HELP = """Show a batch.

Examples:

evermuse status batch_0000000000000000042

evermuse status batch_0000000000000000042 --follow
"""
_ERRORS_HELP = """Print the rejected records of a batch as NDJSON. Fix them, and pass the file to evermuse send.

Without an ID: those of the newest batch that has any.

Examples:

evermuse errors > rejected.ndjson

evermuse send rejected.ndjson
"""
_RETRY_HELP = """Retry what failed in a batch: the landing, or downloads of attachments.

Example:

evermuse retry batch_0000000000000000042
"""


def batches(
    status: Annotated[str | None, typer.Option(help="LANDING, LANDED, PROCESSING, COMPLETE or FAILED.")] = None,
    type: Annotated[str | None, typer.Option(help="The record type.")] = None,
    source: Annotated[str | None, typer.Option(help="The source label of the key that sent it.")] = None,
    since: Annotated[str | None, typer.Option(help="Created at this time or later.")] = None,
    until: Annotated[str | None, typer.Option(help="Created before this time.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    profile: terminal.Profile = None,
    url: terminal.Url = None,
    as_json: terminal.AsJson = False,
) -> None:
    """List batches."""
    given = {"status": status, "type": type, "source": source, "since": since, "until": until}
    with terminal.reported(), terminal.connect(profile, url) as client:
        listing = client.batches(limit=min(limit, 100), **given)  # type: ignore[arg-type]
        for batch in itertools.islice(listing, limit):
            _show(batch, as_json=as_json)


batches.__doc__ = _BATCHES_HELP


def status(
    batch_id: _BatchId,
    follow: Annotated[bool, typer.Option("--follow", help="Until it is COMPLETE or FAILED.")] = False,
    profile: terminal.Profile = None,
    url: terminal.Url = None,
    as_json: terminal.AsJson = False,
) -> None:
    """Show a batch."""
    with terminal.reported(), terminal.connect(profile, url) as client:
        batch = client.batch(batch_id)
        shown = ""
        while follow and not batch.is_settled:
            if not as_json and batch.status != shown:
                shown = batch.status
                _show(batch, as_json=False)
            time.sleep(0.5)
            batch = client.batch(batch_id)
        _show(batch, as_json=as_json)
        for error in () if as_json else batch.errors:
            terminal.output.print(f"  record {error.index}: {error.message}")
    is_sound = batch.status != "FAILED" and not batch.rejected_count and not batch.attachment_download_failed
    raise typer.Exit(0 if is_sound else terminal.SOME_REJECTED)


status.__doc__ = _STATUS_HELP


def errors(
    batch_id: Annotated[str | None, typer.Argument(metavar="[ID]", help="The id of a batch.")] = None,
    profile: terminal.Profile = None,
    url: terminal.Url = None,
) -> None:
    """Print the rejected records of a batch as NDJSON."""
    with terminal.reported(), terminal.connect(profile, url) as client:
        chosen = batch_id or _newest_with_errors(client)
        if chosen is None:
            terminal.errors.print("No batch has rejected records.")
            return
        terminal.errors.print(f"Rejected records of {chosen}:")
        for line in client.lines(endpoints.rejections(chosen)):
            terminal.write_line(line)


errors.__doc__ = _ERRORS_HELP


def retry(batch_id: _BatchId, profile: terminal.Profile = None, url: terminal.Url = None) -> None:
    """Retry what failed in a batch."""
    with terminal.reported(), terminal.connect(profile, url) as client:
        client.retry(batch_id)
        terminal.output.print(f"Started again. Follow it with: {_status_command(batch_id)}")


retry.__doc__ = _RETRY_HELP


def _status_command(batch_id: str) -> str:
    return terminal.command_line("status", batch_id, "--follow", *server_options(sys.argv[1:]))


def _newest_with_errors(client: Client) -> str | None:
    found = (batch.batch_id for batch in client.batches(limit=100) if batch.rejected_count)
    return next(found, None)


def _show(batch: Batch, *, as_json: bool) -> None:
    if as_json:
        known: dict[str, Any] = msgspec.to_builtins(batch)
        terminal.print_json({name: value for name, value in known.items() if value is not None})
        return
    files = ""
    if batch.attachment_download_total is not None:
        done, failed = batch.attachment_download_complete, batch.attachment_download_failed
        files = f", files: {done} of {batch.attachment_download_total} ({failed} failed)"
    terminal.output.print(
        f"{batch.batch_id}  {batch.status:<10}  {batch.type}, {batch.source}: "
        f"{batch.accepted_count:,} accepted, {batch.rejected_count:,} rejected{files}"
    )
