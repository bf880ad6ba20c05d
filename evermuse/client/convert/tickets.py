"""The common part of Zendesk and Intercom: items with parts and people, which may be in different files.

There are two passes. The first one stores all parts and people, and the second one writes the items. A file may be larger
than the memory, as long as one item with its parts fits.
"""

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from evermuse.client.convert import inputs
from evermuse.client.convert.format import ConvertOptions, reason_of
from evermuse.client.convert.json_values import MAX_OBJECT_BYTES, Value, objects_in, whole_objects
from evermuse.client.convert.rejects import RejectWriter, sound_text
from evermuse.client.convert.validation import is_uri

# Tools that copy from the API add a few members of their own.
MAX_WRAPPER_MEMBERS = 5
ROWS = ("record", "_airbyte_data")


@dataclass(slots=True)
class Item:
    """A ticket or conversation: its JSON, and the JSON of its parts that are stored elsewhere."""

    raw: bytes
    value: dict[str, Any]
    parts: list[bytes] = field(default_factory=list)
    part_values: list[Mapping[str, Any]] = field(default_factory=list)


class TicketFormat:
    """The two passes. Subclasses recognise objects and write records."""

    # Names of arrays in list answers, and names of single objects.
    arrays: tuple[str, ...] = ()
    wrappers: tuple[str, ...] = ()

    def kind_of(self, key: str, value: Mapping[str, Any]) -> str:
        """item, part, person or other. ``key``: the name of the array with the object."""
        raise NotImplementedError

    def owner_of(self, part: Mapping[str, Any]) -> str:
        """The id of the item that a part belongs to, empty if the part does not name it."""
        raise NotImplementedError

    def line(self, item: Item, people: Mapping[str, Mapping[str, Any]], options: ConvertOptions) -> bytes:
        """The record. Raises NotConvertible."""
        raise NotImplementedError

    def convert(self, paths: Sequence[Path], *, options: ConvertOptions, rejects: RejectWriter) -> Iterator[bytes]:
        """One record for each item. Parts whose item is missing, and objects of other kinds, are rejected."""
        inputs.check_readable(paths)
        with tempfile.TemporaryDirectory(prefix="evermuse-convert-") as folder:
            sources = [
                (file, inputs.unpacked(file, Path(folder)))
                for path in paths
                for file in inputs.files_under(path, suffixes=(".json", ".ndjson", ".jsonl", ".gz", ".zst"))
            ]
            with closing(_Store(Path(folder, "parts"))) as store:
                self._remember(sources, store)
                yield from self._items(sources, store, options, rejects)
                for file, offset, length in store.orphans():
                    rejects.read += 1
                    rejects.reject(file=file, offset=offset, length=length, reason="no file has the item of this part")

    def _remember(self, sources: Sequence[tuple[Path, Path]], store: "_Store") -> None:
        for file, source in sources:
            for value in self._objects(source):
                parsed = self._parsed(value)
                if isinstance(parsed, str):
                    continue
                kind, raw, content = parsed
                if kind == "part":
                    owner = self.owner_of(content) or _ticket_in_name(file)
                    store.add_part(owner, text_of(content.get("id")), raw, str(file), value.offset)
                elif kind == "person":
                    store.add_person(text_of(content.get("id")), raw)
                elif kind == "item":
                    store.add_item(text_of(content.get("id")))

    def _items(
        self, sources: Sequence[tuple[Path, Path]], store: "_Store", options: ConvertOptions, rejects: RejectWriter
    ) -> Iterator[bytes]:
        for file, source in sources:
            for value in self._objects(source):
                parsed = self._parsed(value)
                kind = "broken" if isinstance(parsed, str) else parsed[0]
                if kind in {"part", "person"}:
                    continue
                rejects.read += 1
                place = {"file": str(file), "offset": value.offset, "length": len(value.raw)}
                if isinstance(parsed, str):
                    rejects.reject(**place, reason=parsed)  # type: ignore[arg-type]
                    continue
                if kind == "other":
                    named = text_of(parsed[2].get("type"))[:100]
                    what = f"objects of the type {named}" if named else "such objects"
                    rejects.reject(**place, reason=f"this format does not have {what}")  # type: ignore[arg-type]
                    continue
                item = Item(parsed[1], parsed[2])
                id = text_of(item.value.get("id"))
                if (first := store.first_copy(id, item.raw, str(file), value.offset)) is not None:
                    rejects.duplicate(file=str(file), offset=value.offset, first_file=first[0], first_offset=first[1])
                    continue
                for raw in store.parts_of(id):
                    item.parts.append(raw)
                    item.part_values.append(json.loads(raw))
                try:
                    line = self.line(item, store, options)
                except Exception as error:
                    rejects.reject(**place, reason=reason_of(error))  # type: ignore[arg-type]
                    continue
                rejects.converted += 1
                yield line

    def _objects(self, source: Path) -> Iterator[Value]:
        """The objects of a file. An object that stands beside arrays, such as a ticket beside its users, is one of them."""
        for value in objects_in(source, self.arrays, self.wrappers):
            if value.key or not value.is_whole or len(value.raw) > MAX_OBJECT_BYTES:
                yield value
                continue
            try:
                members = msgspec.json.decode(value.raw, type=dict[str, msgspec.Raw])
            except (ValueError, RecursionError):
                members = {}
            lists = {name: raw for name, raw in members.items() if name in self.arrays and bytes(raw)[:1] == b"["}
            if "id" in members or not lists:
                yield value
                continue
            singles = {name: raw for name, raw in members.items() if name in self.wrappers and bytes(raw)[:1] == b"{"}
            for name, raw in {**singles, **lists}.items():
                start = value.raw.find(bytes(raw))
                for one in whole_objects(bytes(raw)) if name in lists else [Value(bytes(raw), 0)]:
                    yield Value(one.raw, value.offset + start + one.offset, name)

    def _parsed(self, value: Value) -> tuple[str, bytes, dict[str, Any]] | str:
        """The kind, the bytes and the content of an object without its wrappers, or the reason why it cannot be read."""
        if not value.is_whole:
            return "the JSON is truncated or broken"
        if len(value.raw) > MAX_OBJECT_BYTES:
            return f"the object has {len(value.raw):,} bytes; at most {MAX_OBJECT_BYTES:,} can be converted"
        try:
            content = json.loads(value.raw)
        except (ValueError, RecursionError) as error:
            return f"not JSON: {error}"
        if not isinstance(content, dict):
            return "not an object"
        raw, key = value.raw, value.key
        while (name := self.wrapper_of(content)) is not None:
            raw = bytes(msgspec.json.decode(raw, type=dict[str, msgspec.Raw])[name])
            content, key = content[name], name
        return self.kind_of(key, content), raw, content

    def wrapper_of(self, content: Mapping[str, Any]) -> str | None:
        """The name of the member that an object only wraps, if it does."""
        if len(content) > MAX_WRAPPER_MEMBERS:
            return None
        return next((name for name in self.wrappers if isinstance(content.get(name), dict)), None)


class _Store(Mapping[str, Mapping[str, Any]]):
    """Stores parts and people in a SQLite file. As a mapping: people by id."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path)
        self._database.executescript("""
            PRAGMA journal_mode = OFF;
            PRAGMA synchronous = OFF;
            CREATE TABLE part (owner TEXT, id TEXT, position INTEGER PRIMARY KEY, raw BLOB, file TEXT, offset INTEGER);
            CREATE INDEX part_owner ON part (owner);
            CREATE UNIQUE INDEX part_id ON part (owner, id) WHERE id <> '';
            CREATE TABLE person (id TEXT PRIMARY KEY, raw BLOB);
            CREATE TABLE item (id TEXT PRIMARY KEY, raw BLOB, file TEXT, offset INTEGER);
        """)

    def add_part(self, owner: str, id: str, raw: bytes, file: str, offset: int) -> None:
        self._database.execute(
            "INSERT OR IGNORE INTO part (owner, id, raw, file, offset) VALUES (?, ?, ?, ?, ?)",
            (owner, id, raw, file, offset),
        )

    def add_person(self, id: str, raw: bytes) -> None:
        self._database.execute("INSERT OR REPLACE INTO person VALUES (?, ?)", (id, raw))

    def add_item(self, id: str) -> None:
        self._database.execute("INSERT OR IGNORE INTO item (id) VALUES (?)", (id,))

    def first_copy(self, id: str, raw: bytes, file: str, offset: int) -> tuple[str, int] | None:
        """Where the same bytes were converted first. An item that differs between two files is converted again."""
        row = self._database.execute("SELECT raw, file, offset FROM item WHERE id = ?", (id,)).fetchone()
        if row is not None and row[0] == raw:
            return str(row[1]), int(row[2])
        self._database.execute(
            "INSERT OR REPLACE INTO item (id, raw, file, offset) VALUES (?, ?, ?, ?)", (id, raw, file, offset)
        )
        return None

    def parts_of(self, id: str) -> list[bytes]:
        rows = self._database.execute("SELECT raw FROM part WHERE owner = ? ORDER BY position", (id,))
        return [bytes(row[0]) for row in rows]

    def orphans(self) -> list[tuple[str, int, int]]:
        return self._database.execute(
            "SELECT file, offset, length(raw) FROM part WHERE owner NOT IN (SELECT id FROM item) ORDER BY position"
        ).fetchall()

    def close(self) -> None:
        self._database.close()

    def __getitem__(self, id: str) -> Mapping[str, Any]:
        row = self._database.execute("SELECT raw FROM person WHERE id = ?", (id,)).fetchone()
        if row is None:
            raise KeyError(id)
        found: dict[str, Any] = json.loads(row[0])
        return found

    def __iter__(self) -> Iterator[str]:
        return (row[0] for row in self._database.execute("SELECT id FROM person"))

    def __len__(self) -> int:
        return int(self._database.execute("SELECT count(*) FROM person").fetchone()[0])


def text_of(value: Any) -> str:
    """A string or number of JSON as text, without lone surrogates; empty for anything else."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    # Tables turn ids into numbers with a point.
    return sound_text(str(int(value) if isinstance(value, float) and value.is_integer() else value))


def values_in(value: Any) -> list[Any]:
    """The entries of an array of JSON; none for anything else."""
    return value if isinstance(value, list) else []


def _ticket_in_name(file: Path) -> str:
    """The number in a file's name. Answers with comments do not contain the id of their ticket."""
    digits = [part for part in file.stem.replace("-", "_").split("_") if part.isdigit()]
    return digits[0] if digits else ""


# Role and type of people, by the vendor's kind of person.
STAFF, CUSTOMER, BOT = ("internal", "workspace_member"), ("external", "contact"), ("internal", "bot")


def attachments_of(
    messages: Iterable[Mapping[str, Any]], *, filename: str, url: str, size: str
) -> list[dict[str, Any]]:
    """The envelope's entries for the files of messages. ``filename``, ``url``, ``size``: the vendor's field names."""
    return [
        attachment(filename=one.get(filename), url=one.get(url), size=one.get(size), mime=one.get("content_type"))
        for message in messages
        for one in values_in(message.get("attachments"))
        if isinstance(one, dict)
    ]


def attachment(*, filename: Any, url: Any, size: Any, mime: Any) -> dict[str, Any]:
    """The envelope's entry for a file at the vendor. Values that the envelope would refuse are left out."""
    mime_type = text_of(mime)
    main = mime_type.partition("/")[0]
    found: dict[str, Any] = {"type": main if main in {"audio", "video", "image", "text"} else "file"}
    if name := text_of(filename):
        found["filename"] = name[:512]
    if isinstance(size, int) and not isinstance(size, bool) and size >= 0:
        found["size"] = size
    if mime_type:
        found["mime_type"] = mime_type[:256]
    if (link := text_of(url)) and len(link) <= 2048 and is_uri(link):
        found["vendor_url"] = link
    return found
