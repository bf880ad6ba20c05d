"""Finds the mails of a run, and reads one."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from evermuse.client.convert import inputs, instants
from evermuse.client.convert.format import NotConvertible
from evermuse.client.convert.mail import mbox
from evermuse.client.convert.mail.message import Mail

# The text of a longer mail would not fit into a record, and its files would take several times this much memory.
MAX_MAIL_BYTES = 64 * 1024 * 1024
_NO_MAILS = re.compile(r"dovecot.*|maildir.*|courier.*|subscriptions|cyrus\..*|shared-.*|uidvalidity.*", re.IGNORECASE)
_DELIVERED = re.compile(r"(\d{9,10})\.")


@dataclass(frozen=True, slots=True)
class Piece:
    """The place of a mail. ``file``: the name for rejects. ``path``: the file with its bytes, unpacked if necessary."""

    file: str
    path: str
    offset: int
    length: int
    is_mbox: bool = False
    is_counted: bool = False


Walk = Callable[[Sequence[Path], Path], Iterator[Piece]]


def in_mboxes(paths: Sequence[Path], scratch: Path) -> Iterator[Piece]:
    """The mails of mbox files. Directories are searched for files."""
    for path in paths:
        for file in inputs.files_under(path):
            source = inputs.unpacked(file, scratch)
            with source.open("rb") as stream:
                for span in mbox.spans(stream):
                    yield Piece(str(file), str(source), span.offset, span.length, True, span.is_counted)


def in_maildirs(paths: Sequence[Path], scratch: Path) -> Iterator[Piece]:
    """The mails of maildirs with their subfolders, and of plain directories with one file for each mail."""
    for path in paths:
        for file in sorted(_mail_files(path)) if path.is_dir() else [path]:
            yield from _in_file(file, scratch)


def in_files(paths: Sequence[Path], scratch: Path) -> Iterator[Piece]:
    """Files of one mail each. Directories are searched for them."""
    for path in paths:
        for file in inputs.files_under(path):
            yield from _in_file(file, scratch)


def _mail_files(path: Path) -> Iterator[Path]:
    """The files that are mails: in a maildir those in new and cur, elsewhere all that are not hidden."""
    names = {entry.name for entry in path.iterdir() if entry.is_dir()}
    is_maildir = "cur" in names or "new" in names
    for entry in path.iterdir():
        # Subfolders of a maildir begin with a dot. Mails in tmp were never delivered.
        is_passed_over = entry.name == "tmp" if is_maildir else entry.name.startswith(".")
        if entry.is_dir() and not entry.is_symlink() and not is_passed_over:
            yield from _mail_files(entry)
            continue
        # Files beside the folders of a maildir belong to servers and clients.
        is_control = is_maildir and _NO_MAILS.fullmatch(entry.name) is not None
        if entry.is_file() and not entry.name.startswith(".") and not is_control:
            yield entry


def _in_file(file: Path, scratch: Path) -> Iterator[Piece]:
    """The mail of a file. Archives keep the line ``From …`` of a mail, and folders of mails may hold whole mailboxes."""
    source = inputs.unpacked(file, scratch)
    with source.open("rb") as stream:
        if stream.read(5) == b"From ":
            for span in mbox.spans(stream):
                yield Piece(str(file), str(source), span.offset, span.length, True, span.is_counted)
            return
    yield Piece(str(file), str(source), 0, source.stat().st_size)


def read(piece: Piece, limit: int | None = None) -> Mail:
    """Read the mail, at most ``limit`` bytes, which is enough for its header. Raises NotConvertible."""
    if limit is None and piece.length > MAX_MAIL_BYTES:
        raise NotConvertible(f"the mail has {piece.length:,} bytes; at most {MAX_MAIL_BYTES:,} can be converted")
    with Path(piece.path).open("rb") as file:
        file.seek(piece.offset)
        raw = file.read(piece.length if limit is None else min(limit, piece.length))
    if piece.is_mbox:
        raw, date = mbox.mail_in(raw, is_counted=piece.is_counted)
        return Mail(raw, date, "From line")
    if piece.file.lower().endswith((".emlx", ".partial.emlx")):
        raw = _without_property_list(raw)
    return Mail(raw, _delivered_at(piece.file), "file name")


def _without_property_list(raw: bytes) -> bytes:
    """The mail in a file of Apple Mail, between a line with its length and a property list."""
    count, _, rest = raw.partition(b"\n")
    return rest[: int(count)] if count.strip().isdigit() else raw


def _delivered_at(file: str) -> datetime | None:
    """The time at the beginning of a file name in a maildir."""
    found = _DELIVERED.match(Path(file).name)
    return instants.from_epoch(int(found[1])) if found else None


FORMATS: dict[str, Walk] = {"mbox": in_mboxes, "maildir": in_maildirs, "eml": in_files}
