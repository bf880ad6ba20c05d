"""The formats mbox, maildir and eml. The first pass finds threads, and the second one converts in several processes."""

import logging
import os
import sqlite3
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

from evermuse.client.convert import inputs
from evermuse.client.convert.format import ConvertOptions, NotConvertible
from evermuse.client.convert.mail import message, pieces
from evermuse.client.convert.mail.copies import Copies
from evermuse.client.convert.mail.headers import header_of, unix_lines
from evermuse.client.convert.mail.pieces import Piece
from evermuse.client.convert.mail.threads import ThreadIndex, Threads
from evermuse.client.convert.pool import Failed, Pool
from evermuse.client.convert.rejects import RejectWriter

_logger = logging.getLogger(__name__)
# Longer headers are rare, and their ids are at the beginning.
HEADER_BYTES = 64 * 1024


class MailFormat:
    """Converts the mails that its walk finds."""

    def __init__(self, name: str) -> None:
        self.name = name

    def convert(self, paths: Sequence[Path], *, options: ConvertOptions, rejects: RejectWriter) -> Iterator[bytes]:
        """One record for each mail, in the order of the source. Copies of one mail are converted once."""
        inputs.check_readable(paths)
        _ = options.instant  # a wrong option must fail before the first mail
        with tempfile.TemporaryDirectory(prefix="evermuse-convert-") as folder:
            scratch = Path(folder)
            files = scratch / "unpacked"
            files.mkdir()
            walk = pieces.FORMATS[self.name]
            # Only the paths are listed here, not the mails of the first pass.
            index = ThreadIndex(scratch / "threads")
            try:
                for piece in walk(paths, files):
                    _index(index, piece)
                index.finish()
            except sqlite3.Error as error:
                raise OSError(f"the index of threads in {folder} cannot be written: {error}") from None
            yield from _converted(walk(paths, files), options, rejects, scratch)


def _index(index: ThreadIndex, piece: Piece) -> None:
    try:
        raw = unix_lines(pieces.read(piece, HEADER_BYTES).raw)
        index.add(header_of(raw, is_message=True))
    except sqlite3.Error:
        raise  # without the index, mails would get wrong threads
    except Exception as error:  # a mail must not stop the run; the second pass rejects it
        _logger.debug("a mail has no place in the index of threads: %s", error)


def _converted(
    mails: Iterator[Piece], options: ConvertOptions, rejects: RejectWriter, scratch: Path
) -> Iterator[bytes]:
    pool = Pool(
        prepare,
        (options, scratch / "threads"),
        processes=options.processes or os.cpu_count() or 1,
        item_seconds=options.item_seconds,
        size_of=_size,
    )
    with closing(Copies(scratch / "copies")) as copies:
        for piece, result in pool.map(mails):
            rejects.read += 1
            if isinstance(result, Failed | str):
                reason = result.reason if isinstance(result, Failed) else result
                rejects.reject(file=piece.file, offset=piece.offset, length=piece.length, reason=reason)
                continue
            mail, first = result, copies.first(result, piece)
            if first is not None and first.digest != mail.digest:
                # Some senders use a Message-ID twice, and some mailing lists add a footer to one of two copies.
                mail = message.told_apart(mail)
                first = copies.first(mail, piece)
            if first is not None:
                rejects.duplicate(
                    file=piece.file, offset=piece.offset, first_file=first.file, first_offset=first.offset
                )
                continue
            for text, count in mail.notes.items():
                rejects.note(text, count)
            rejects.converted += 1
            yield mail.line


def _size(piece: Piece) -> int:
    return min(piece.length, pieces.MAX_MAIL_BYTES)


def prepare(options: ConvertOptions, threads_path: Path) -> Callable[[Piece], message.Converted | str]:
    """Makes the function that converts one mail in a process. It returns the record, or the reason for rejecting the mail."""
    threads = Threads(threads_path)

    def convert(piece: Piece) -> message.Converted | str:
        try:
            return message.convert(pieces.read(piece), options, threads)
        except NotConvertible as error:
            return str(error)
        except Exception as error:  # a bug must not stop the run
            return f"{type(error).__name__}: {error}"

    return convert


MBOX, MAILDIR, EML = MailFormat("mbox"), MailFormat("maildir"), MailFormat("eml")
