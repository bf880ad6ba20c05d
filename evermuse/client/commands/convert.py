"""``evermuse convert FORMAT PATH…``: files of other systems become records on the standard output."""

import json
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from evermuse.client import terminal
from evermuse.client.convert import FORMATS, ConvertOptions, PoolError, RejectWriter, UsageError
from evermuse.client.wording import counted

ALL_CONVERTED, SOME_REJECTED, USAGE, FAILED, INTERRUPTED = 0, 1, 2, 3, 4
_LIST = "\n\n".join(f"{name}: {format.summary}." for name, format in FORMATS.items())
_HELP = f"""Convert files of other systems to records. Writes one line of JSON for each to standard output.

{_LIST}

Examples:

evermuse convert mbox Inbox.mbox --product prod-abc --project proj-123 > mails.ndjson

evermuse convert slack export.zip --product prod-abc --project proj-123 | evermuse send -

Items that cannot be converted are written to the file of rejects, with file, offset and reason.
Exit code: 0 everything was converted, 1 some items were rejected, 2 wrong usage, 3 failed, 4 interrupted.
"""

_FormatName = Annotated[
    str, typer.Argument(metavar="FORMAT", help=f"One of {', '.join(FORMATS)}.", autocompletion=lambda: list(FORMATS))
]


def convert(
    format: _FormatName,
    paths: terminal.Paths,
    product: Annotated[str, typer.Option(envvar="EVERMUSE_PRODUCT", help="The product id of every record.")],
    project: Annotated[list[str], typer.Option(envvar="EVERMUSE_PROJECT", help="A project id; may be repeated.")],
    internal_domain: Annotated[
        list[str] | None, typer.Option(help="A domain of your own people, such as acme.com; may be repeated.")
    ] = None,
    attachments: Annotated[
        Path | None, typer.Option(help="Write the files that the source holds here, for send --attach.")
    ] = None,
    rejects: Annotated[
        Path | None, typer.Option(help="Where rejects are written. Default: evermuse-FORMAT.rejects.ndjson.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag of every record; may be repeated.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="For csv: the file that maps columns to fields.")] = None,
    event_at: Annotated[
        str | None,
        typer.Option(
            help="When it happened, such as 2026-01-31T12:00:00Z: for transcripts, and for mails and rows without any date."
        ),
    ] = None,
    processes: Annotated[int | None, typer.Option(min=1, help="For mails. Default: one for each processor.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON, on the standard error.")] = False,
) -> None:
    """Convert files of other systems to records."""
    if format not in FORMATS:
        _fail(f"{format}: no such format; there are {', '.join(FORMATS)}", USAGE)
    options = ConvertOptions(
        product_id=product,
        project_ids=tuple(project),
        internal_domains=tuple(internal_domain or ()),
        tags=tuple(tag or ()),
        attachments=attachments,
        event_at=event_at,
        mapping=mapping,
        processes=processes,
    )
    target = rejects or Path(f"evermuse-{format}.rejects.ndjson")
    terminal.refuse_overwriting("--rejects", target, [*paths, mapping])
    try:
        with RejectWriter(target) as writer:
            code = _run(FORMATS[format].convert(paths, options=options, rejects=writer))
    except UsageError as error:
        _fail(str(error), USAGE)
    except (PoolError, OSError) as error:
        _fail(str(error), FAILED)
    _report(writer, target, as_json=as_json)
    raise typer.Exit(code or (SOME_REJECTED if writer.failed else ALL_CONVERTED))


convert.__doc__ = _HELP


def _run(lines: Iterable[bytes]) -> int:
    """Write the lines. Returns INTERRUPTED if the reader of the pipe has gone, or the user stops the run."""
    output = sys.stdout.buffer
    try:
        for line in lines:
            output.write(line)
            output.write(b"\n")
        output.flush()
    except BrokenPipeError:
        # Python flushes when it exits, and would report the same error again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERRUPTED
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def _report(writer: RejectWriter, target: Path, *, as_json: bool) -> None:
    counts = {
        "read": writer.read,
        "converted": writer.converted,
        "rejected": writer.rejected,
        "duplicates": writer.duplicates,
        "rejects": str(target) if writer.rejected else None,
        "notes": dict(writer.notes),
    }
    if as_json:
        sys.stderr.write(json.dumps(counts) + "\n")
        return
    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    copies = f" ({counted(writer.duplicates, 'duplicate')} among them)" if writer.duplicates else ""
    console.print(f"{writer.read:,} read = {writer.converted:,} converted + {writer.rejected:,} rejected{copies}")
    for text, count in writer.notes.items():
        console.print(f"{text} ({count:,})")
    if writer.rejected:
        console.print(f"Rejects: {target}")


def _fail(message: str, code: int) -> None:
    Console(stderr=True, highlight=False, markup=False, soft_wrap=True).print(f"evermuse convert: {message}")
    raise typer.Exit(code)
