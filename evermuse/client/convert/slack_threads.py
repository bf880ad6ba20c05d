"""Groups the messages of a channel by thread, in a SQLite file, because replies may follow days later."""

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evermuse.client.convert.slack_export import Message
from evermuse.client.convert.tickets import text_of

_TS = re.compile(r"\d{1,12}(?:\.\d{1,9})?")


class ThreadStore:
    """Collects messages, and returns them thread by thread."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path)
        self._database.executescript("""
            PRAGMA journal_mode = OFF;
            PRAGMA synchronous = OFF;
            CREATE TABLE message (thread TEXT, ts TEXT, raw BLOB, file TEXT, offset INTEGER);
        """)

    def add(self, message: Message) -> str:
        """Add a message. Returns the reason if it cannot be added, else an empty text."""
        try:
            content = json.loads(message.raw)
        except (ValueError, RecursionError) as error:
            return f"not JSON: {error}"
        if not isinstance(content, dict):
            return "the message is not an object"
        thread, ts = _thread_of(content), text_of(content.get("ts"))
        if _TS.fullmatch(thread) is None:
            return "the message has no ts"
        self._database.execute(
            "INSERT INTO message VALUES (?, ?, ?, ?, ?)",
            (thread, ts or thread, message.raw, message.file.encode("utf-8", "replace").decode(), message.offset),
        )
        return ""

    def threads(self) -> Iterator[tuple[str, list[Message]]]:
        """Each thread with its messages, both in the order of time. Equal messages are returned once."""
        self._database.execute("CREATE INDEX message_thread ON message (thread, ts)")
        threads = self._database.execute("SELECT DISTINCT thread FROM message ORDER BY CAST(thread AS REAL), thread")
        for (thread,) in threads.fetchall():
            rows = self._database.execute(
                "SELECT raw, file, offset FROM message WHERE thread = ? ORDER BY CAST(ts AS REAL), ts, rowid", (thread,)
            )
            found = {bytes(raw): Message(bytes(raw), file, offset) for raw, file, offset in reversed(rows.fetchall())}
            yield thread, list(reversed(found.values()))

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _thread_of(content: dict[str, Any]) -> str:
    """The thread of a message. Changes and deletions belong to the thread of the message that they change."""
    if content.get("subtype") in {"message_changed", "message_deleted", "message_replied"}:
        for name in ("message", "previous_message"):
            if isinstance(inner := content.get(name), dict):
                found = text_of(inner.get("thread_ts")) or text_of(inner.get("ts"))
                if found:
                    return found
        if deleted := text_of(content.get("deleted_ts")):
            return deleted
    return text_of(content.get("thread_ts")) or text_of(content.get("ts"))
