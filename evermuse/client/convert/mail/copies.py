"""Recognises copies, such as the same mail in several folders."""

import sqlite3
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from evermuse.client.convert.mail.message import Converted
from evermuse.client.convert.mail.pieces import Piece
from evermuse.client.convert.rejects import shown_name


@dataclass(frozen=True, slots=True)
class First:
    """Where a record was converted first, and the digest of its content."""

    file: str
    offset: int
    digest: str


class Copies:
    """Remembers where each record was converted first. It uses a file, so that millions of mails need little memory."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("CREATE TABLE file (number INTEGER PRIMARY KEY, path TEXT UNIQUE)")
        self._database.execute(
            "CREATE TABLE mail (key BLOB PRIMARY KEY, digest BLOB, file INTEGER, offset INTEGER) WITHOUT ROWID"
        )
        self._file, self._number = "", 0

    def first(self, mail: Converted, piece: Piece) -> First | None:
        """The first mail with this one's key, or None if this is the first."""
        key, digest = blake2b(mail.key.encode(), digest_size=16).digest(), bytes.fromhex(mail.digest)
        row = (key, digest, self._number_of(piece.file), piece.offset)
        if self._database.execute("INSERT OR IGNORE INTO mail VALUES (?, ?, ?, ?)", row).rowcount:
            return None
        file, offset, content = self._database.execute(
            "SELECT path, offset, digest FROM mail JOIN file ON number = file WHERE key = ?", (key,)
        ).fetchone()
        return First(file, offset, content.hex())

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _number_of(self, file: str) -> int:
        if file != self._file:
            name = shown_name(file)
            self._database.execute("INSERT OR IGNORE INTO file (path) VALUES (?)", (name,))
            row = self._database.execute("SELECT number FROM file WHERE path = ?", (name,)).fetchone()
            self._file, self._number = file, int(row[0])
        return self._number
