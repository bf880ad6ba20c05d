"""Groups the messages of a channel by thread, in a SQLite file, because replies may follow days later."""

import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from evermuse.client.convert.slack_export import Message
from evermuse.client.convert.tickets import text_of

_CHANGES = frozenset({"message_changed", "message_deleted", "message_replied"})
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


def why_partial(thread: str, contents: Sequence[Mapping[str, Any]]) -> str:
    """Why these messages are only a part of a thread, or an empty text. An export of a range of dates cuts threads.

    The first message counts the replies. Replies that were changed or deleted since count too, because they are there.
    """
    first = next(
        (one for one in contents if text_of(one.get("ts")) == thread and one.get("subtype") not in _CHANGES), None
    )
    if first is None:
        return "the first message is missing"
    replies = {ts for one in contents for ts in _times(one)} - {thread, ""}
    listed = first.get("replies")
    count = first.get("reply_count", len(listed) if isinstance(listed, list) else 0)
    if isinstance(count, int) and count > len(replies):
        return f"{count - len(replies):,} of {count:,} replies are missing"
    return ""


def part_of(contents: Sequence[Mapping[str, Any]]) -> str:
    """Identifies a part of a thread: the times of its first and its last message."""
    return f"{text_of(contents[0].get('ts'))}-{text_of(contents[-1].get('ts'))}"


def _times(content: Mapping[str, Any]) -> Iterator[str]:
    """The time of a message, or those of the messages that a change is about."""
    if content.get("subtype") not in _CHANGES:
        yield text_of(content.get("ts"))
        return
    yield text_of(content.get("deleted_ts"))
    for name in ("message", "previous_message"):
        if isinstance(inner := content.get(name), dict):
            yield text_of(inner.get("ts"))


def _thread_of(content: dict[str, Any]) -> str:
    """The thread of a message. Changes and deletions belong to the thread of the message that they change."""
    if content.get("subtype") in _CHANGES:
        for name in ("message", "previous_message"):
            if isinstance(inner := content.get(name), dict):
                found = text_of(inner.get("thread_ts")) or text_of(inner.get("ts"))
                if found:
                    return found
        if deleted := text_of(content.get("deleted_ts")):
            return deleted
    return text_of(content.get("thread_ts")) or text_of(content.get("ts"))
