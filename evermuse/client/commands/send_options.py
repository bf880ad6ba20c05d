"""The arguments and options of `evermuse send`."""

from pathlib import Path
from typing import Annotated

import typer

from evermuse.client.convert import FORMATS

Wait = Annotated[bool, typer.Option("--wait", help="Follow the batches until they are COMPLETE.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check and count; send nothing.")]
Limit = Annotated[int | None, typer.Option(min=1, help="Send at most this many records.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Also send versions that the server has replaced by newer ones.")
]
Attach = Annotated[
    Path | None,
    typer.Option(
        help="Upload the files that attachments name from this directory. With --from, files of the source are written there."
    ),
]
Rejects = Annotated[
    Path | None, typer.Option(help="Write rejected records to this file instead of PATH.rejected.ndjson.")
]
StateDir = Annotated[
    Path | None,
    typer.Option(envvar="EVERMUSE_STATE_DIR", help="The directory where runs record which batches were acknowledged."),
]
Concurrency = Annotated[int, typer.Option(min=1, max=64, help="The number of batches sent at once.")]

Format = Annotated[
    str | None,
    typer.Option(
        "--from",
        help=f"Convert the files first: {', '.join(FORMATS)}. See evermuse convert.",
        autocompletion=lambda: list(FORMATS),
    ),
]
Product = Annotated[
    str | None, typer.Option(envvar="EVERMUSE_PRODUCT", help="With --from: the product id of every record.")
]
Project = Annotated[
    list[str] | None, typer.Option(envvar="EVERMUSE_PROJECT", help="With --from: a project id; may be repeated.")
]
InternalDomain = Annotated[
    list[str] | None, typer.Option(help="With --from: a domain of your own people; may be repeated.")
]
Tag = Annotated[list[str] | None, typer.Option(help="With --from: a tag; may be repeated.")]
Mapping = Annotated[Path | None, typer.Option(help="With --from csv: the file that maps columns to fields.")]
EventAt = Annotated[
    str | None, typer.Option(help="With --from: when items without a date happened, such as 2026-01-31T12:00:00Z.")
]
