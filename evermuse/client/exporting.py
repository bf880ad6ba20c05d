"""`evermuse export`: all changes since the last export, including removals. Each change is written at least once."""

import json
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

from evermuse.client import endpoints
from evermuse.client.blocking import Client
from evermuse.client.errors import Unreachable
from evermuse.client.retry import Attempts

# At most this many records of the last instant are remembered, so that they are not written twice.
MAX_REMEMBERED = 10_000
# The state is stored after this many lines.
STORE_LINES = 20_000


class WrongState(Exception):
    """The file is not the state of this export."""


class _Row(msgspec.Struct, rename="camel"):
    record_id: str
    updated_at: int
    version: int


class _Gone(msgspec.Struct, rename="camel"):
    record_id: str
    removed_at: int


@dataclass(slots=True)
class ExportState:
    """How far an export got. ``seen``: the versions of the instant ``updated_at``. Instants: epoch milliseconds."""

    url: str
    filters: dict[str, str]
    updated_at: int | None = None
    removed_at: int | None = None
    seen: dict[str, int] = field(default_factory=dict)


def load(path: Path, url: str, filters: Mapping[str, str]) -> ExportState:
    """The state of an export, a new one if there is no file. Raises WrongState."""
    try:
        found = ExportState(**json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return ExportState(url, dict(filters))
    except (ValueError, TypeError) as error:
        raise WrongState(f"{path} is not the state of an export: {error}") from None
    if (found.url, found.filters) != (url, dict(filters)):
        raise WrongState(f"{path} belongs to an export of {found.url} with other filters: {found.filters}")
    return found


def store(path: Path, state: ExportState) -> None:
    """Replace the state file in one step."""
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(asdict(state), file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


@dataclass(slots=True)
class IncrementalExport:
    """One export. ``write`` takes a line; ``flush`` returns once all lines are safe, and then the state is stored."""

    client: Client
    state: ExportState
    path: Path
    write: Callable[[bytes], None]
    flush: Callable[[], None]
    records: int = 0
    removals: int = 0

    def run(self) -> None:
        """Removals first: a record that was removed and sent again comes after its removal. Raises EvermuseError."""
        self._until_complete(self._removals)
        self._until_complete(self._records)

    def _until_complete(self, read: Callable[[], None]) -> None:
        """Continues a stream that breaks off from the last record seen."""
        attempts = Attempts(self.client.retries)
        while True:
            before = (self.state.updated_at, self.state.removed_at)
            try:
                read()
                return
            except Unreachable as error:
                if before != (self.state.updated_at, self.state.removed_at):
                    attempts = Attempts(self.client.retries)
                attempts.pause(error)
            finally:
                self._save()

    def _save(self) -> None:
        self.flush()
        store(self.path, self.state)

    def _removals(self) -> None:
        since = None if self.state.removed_at is None else endpoints.milliseconds(self.state.removed_at)
        for line in self.client.lines(endpoints.removed(since)):
            row = msgspec.json.decode(line, type=_Gone)
            self.write(line)
            self.removals += 1
            self.state.removed_at = max(self.state.removed_at or 0, row.removed_at)

    def _records(self) -> None:
        state = self.state
        since = {} if state.updated_at is None else {"changed_since": endpoints.milliseconds(state.updated_at)}
        for line in self.client.lines(endpoints.records({**state.filters, **since})):
            # The other fields come first, so that a record's own fields are not looked at.
            row = _row(line)
            if state.seen.get(row.record_id) == row.version and row.updated_at == state.updated_at:
                continue
            self.write(line)
            self.records += 1
            if state.updated_at is None or row.updated_at > state.updated_at:
                state.updated_at, state.seen = row.updated_at, {}
            if row.updated_at == state.updated_at and len(state.seen) < MAX_REMEMBERED:
                state.seen[row.record_id] = row.version
            if self.records % STORE_LINES == 0:
                self._save()


def _row(line: bytes) -> _Row:
    try:
        return msgspec.json.decode(line, type=_Row)
    except (msgspec.DecodeError, RecursionError):  # the record holds JSON that the fast decoder refuses
        head = line.partition(b',"record":')[0]
        return msgspec.json.decode(head + b"}", type=_Row)
