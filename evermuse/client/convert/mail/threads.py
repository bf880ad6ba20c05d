"""Finds the thread of each mail of a run in a first pass over all headers.

Each mail points to the oldest mail that it references. The end of that chain is the thread. The order of the mails does not
matter, and the first mail need not be in the mailbox. A reply without references joins the nearest earlier mail with its
subject. The index is a SQLite file, so it needs little memory for a mailbox of any size, and processes can share it.
"""

import sqlite3
from pathlib import Path

from evermuse.client.convert.mail import dates
from evermuse.client.convert.mail.headers import Header
from evermuse.client.convert.mail.identity import bare_subject, message_id, parent_of, subject_of

MAX_CHAIN = 1000
# A longer gap between mails with the same subject means another conversation.
LONGEST_SILENCE = 90 * 86_400
ROWS_AT_ONCE = 2000
_TABLES = """
CREATE TABLE parent (id TEXT PRIMARY KEY, parent TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE opener (subject TEXT NOT NULL, at INTEGER NOT NULL, id TEXT NOT NULL);
CREATE TABLE orphan (subject TEXT NOT NULL, at INTEGER NOT NULL, id TEXT NOT NULL);
"""
_EARLIER = """
SELECT id FROM opener WHERE subject = ?1 AND at BETWEEN ?2 - ?3 AND ?2 ORDER BY at DESC, id LIMIT 1
"""


class ThreadIndex:
    """Builds the index from the header of every mail. Call ``finish`` before `Threads` reads it."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path)
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.executescript(_TABLES)
        self._parents: list[tuple[str, str]] = []
        self._rows: dict[str, list[tuple[str, int, str]]] = {"opener": [], "orphan": []}

    def add(self, header: Header) -> None:
        """Add a mail."""
        own = message_id(header)
        if parent := parent_of(header):
            if own:
                self._parents.append((own, parent))
        elif own:
            subject, is_reply = bare_subject(subject_of(header))
            at = dates.parsed(header.text("date"))
            if subject and at is not None:
                self._rows["orphan" if is_reply else "opener"].append((subject[:200], int(at.timestamp()), own))
        if len(self._parents) + sum(map(len, self._rows.values())) >= ROWS_AT_ONCE:
            self._flush()

    def finish(self) -> None:
        """Write the remaining rows, and close the file."""
        self._flush()
        self._database.execute("CREATE INDEX opener_subject ON opener (subject, at, id)")
        orphans = self._database.execute("SELECT subject, at, id FROM orphan")
        while rows := orphans.fetchmany(ROWS_AT_ONCE):
            self._database.executemany(
                "INSERT OR IGNORE INTO parent VALUES (?, ?)",
                [(id, _answered(self._database, subject, at)) for subject, at, id in rows],
            )
        self._database.commit()
        self._database.close()

    def _flush(self) -> None:
        # If two mails have the same id, use the smaller parent, so that their order does not matter.
        self._database.executemany(
            "INSERT INTO parent VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET parent = min(parent, excluded.parent)",
            self._parents,
        )
        for table, rows in self._rows.items():
            self._database.executemany(f"INSERT INTO {table} VALUES (?, ?, ?)", rows)  # noqa: S608 - two constants
            rows.clear()
        self._parents.clear()


def _answered(database: sqlite3.Connection, subject: str, at: int) -> str:
    """The mail that a reply answers, found only by its subject."""
    row = database.execute(_EARLIER, (subject, at, LONGEST_SILENCE)).fetchone()
    return str(row[0]) if row else f"subject:{subject}"


class Threads:
    """Reads a finished index."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True)

    def thread_of(self, header: Header, own: str, at: int) -> str:
        """The id of the thread's first mail, which may be the mail itself. ``at``: the mail's Unix time."""
        if parent := parent_of(header):
            return self._first(parent)
        if not message_id(header):
            subject, is_reply = bare_subject(subject_of(header))
            return _answered(self._database, subject[:200], at) if subject and is_reply else own
        return self._first(own)

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _first(self, id: str) -> str:
        seen = [id]
        while len(seen) < MAX_CHAIN:
            row = self._database.execute("SELECT parent FROM parent WHERE id = ?", (seen[-1],)).fetchone()
            if row is None:
                return seen[-1]
            if row[0] in seen:
                # Mails that reference each other in a circle: use the smallest id, wherever the walk entered the circle.
                return min(seen[seen.index(row[0]) :])
            seen.append(row[0])
        return seen[-1]
