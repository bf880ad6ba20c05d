"""`evermuse export --state FILE`."""

import os
import sys
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from evermuse.client import exporting, terminal
from evermuse.client.errors import EvermuseError
from evermuse.client.wording import counted

_HELP = """Print all changes since the last export as NDJSON: records, and removals (recordId, removedAt, reason).

The state file records how far the last export got. The first export prints everything. No change is ever missed, but a line
may be printed twice. If you have both a record and its removal, the later of updatedAt and removedAt counts.

Examples:

evermuse export --state copy.json --output copy.ndjson

evermuse export --state calls.json --type call | my-import
"""
_BLOCK_BYTES = 64 * 1024
# The beginning of each line, be it a record or a removal.
_LINE_START = b'{"recordId"'
_Text = Annotated[str | None, typer.Option()]


def export(
    state: Annotated[Path, typer.Option(help="The file that records how far the last export got.")],
    to: Annotated[Path | None, typer.Option("--output", help="Append to this file instead of standard output.")] = None,
    type: _Text = None,
    product_id: _Text = None,
    project_id: _Text = None,
    restart: Annotated[bool, typer.Option("--restart", help="Forget the state, and export everything.")] = False,
    patience: terminal.Patience = 60.0,
    profile: terminal.Profile = None,
    url: terminal.Url = None,
) -> None:
    """Print all changes since the last export."""
    given = {"type": type, "product_id": product_id, "project_id": project_id}
    filters = {name: value for name, value in given.items() if value is not None}
    with terminal.reported(), terminal.connect(profile, url, patience) as client:
        try:
            if not state.absolute().parent.is_dir():
                raise exporting.WrongState(f"{state}: there is no such directory")
            if to is not None and to.resolve() == state.resolve():
                raise exporting.WrongState(f"{to}: --output and --state must be two files")
            if restart:
                state.unlink(missing_ok=True)
            known = exporting.load(state, client.url, filters)
            file = _opened(to)
        except (exporting.WrongState, OSError) as error:
            raise terminal.fail(str(error), terminal.USAGE) from None
        client.pace.limit(client.key().rate_limit)
        run = exporting.IncrementalExport(client, known, state, file.write, lambda: _flush(file))
        try:
            run.run()
        except EvermuseError as error:
            if error.code == "EXPIRED":
                terminal.errors.print(f"Read everything again: {terminal.command_line(*sys.argv[1:], '--restart')}")
            raise
        terminal.errors.print(f"{counted(run.records, 'record')} and {counted(run.removals, 'removal')} exported.")


export.__doc__ = _HELP


def _opened(path: Path | None) -> BinaryIO:
    """The output file. Cuts off an incomplete last line of an export that was killed. Raises WrongState for other content."""
    if path is None:
        return sys.stdout.buffer
    file = path.open("a+b")
    end = file.seek(0, os.SEEK_END)
    start = _last_line(file, end)
    if start < end:
        file.seek(start)
        if not _LINE_START.startswith(file.read(len(_LINE_START))):
            file.close()
            raise exporting.WrongState(f"{path}: its last line is incomplete, and is not from an export")
        file.truncate(start)
    file.seek(0, os.SEEK_END)
    return file


def _last_line(file: BinaryIO, end: int) -> int:
    """Where the last line starts: at the end, if the file ends with a line feed."""
    while end:
        start = max(end - _BLOCK_BYTES, 0)
        file.seek(start)
        if (found := file.read(end - start).rfind(b"\n")) >= 0:
            return start + found + 1
        end = start
    return 0


def _flush(file: BinaryIO) -> None:
    """Return once the lines are safe on disk. The state may be stored only after that."""
    file.flush()
    if file is not sys.stdout.buffer:
        os.fsync(file.fileno())
