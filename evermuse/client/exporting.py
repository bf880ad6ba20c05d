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
    """How far an export got. Instants: epoch milliseconds.

    ``seen``: the versions of the instant ``updated_at``. ``gone``: the records that were removed at ``removed_at``.
    """

    url: str
    filters: dict[str, str]
    updated_at: int | None = None
    removed_at: int | None = None
    seen: dict[str, int] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)


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
    try:
        with draft.open("w", encoding="utf-8") as file:
            json.dump(asdict(state), file)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


@dataclass(slots=True)
class IncrementalExport:
    """One export. ``write`` takes whole lines; ``flush`` returns once all are safe, and then the state is stored."""

    client: Client
    state: ExportState
    path: Path
    write: Callable[[bytes], object]
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
        state, known = self.state, frozenset(self.state.gone)
        since = None if state.removed_at is None else endpoints.milliseconds(state.removed_at)
        for line in self.client.lines(endpoints.removed(since)):
            row = msgspec.json.decode(line, type=_Gone)
            if row.removed_at == state.removed_at and row.record_id in known:
                continue
            self.write(line + b"\n")
            self.removals += 1
            if state.removed_at is None or row.removed_at > state.removed_at:
                state.removed_at, state.gone = row.removed_at, []
            if row.removed_at == state.removed_at and len(state.gone) < MAX_REMEMBERED:
                state.gone.append(row.record_id)

    def _records(self) -> None:
        state = self.state
        since = {} if state.updated_at is None else {"changed_since": endpoints.milliseconds(state.updated_at)}
        began_at, stored = state.updated_at, self.records
        is_new = began_at is None
        for block in self.client.blocks(endpoints.records({**state.filters, **since})):
            lines = block[:-1].split(b"\n")
            if not is_new:
                # Only records of the instant at which the stream begins may have been written before.
                lines = [line for line in lines if not self._is_seen(_row(line))]
            if not lines:
                continue
            self.write(block if is_new else b"\n".join([*lines, b""]))
            self.records += len(lines)
            self._remember(lines)
            is_new = is_new or state.updated_at != began_at
            if self.records - stored >= STORE_LINES:
                stored = self.records
                self._save()

    def _is_seen(self, row: _Row) -> bool:
        return row.updated_at == self.state.updated_at and self.state.seen.get(row.record_id) == row.version

    def _remember(self, lines: list[bytes]) -> None:
        """Note the instant of the last line, and the versions of that instant. The lines are in the order of their instants."""
        state = self.state
        last = _row(lines[-1])
        if state.updated_at is None or last.updated_at > state.updated_at:
            state.updated_at, state.seen = last.updated_at, {}
        for line in reversed(lines):
            row = _row(line)
            if row.updated_at != state.updated_at or len(state.seen) >= MAX_REMEMBERED:
                break
            state.seen[row.record_id] = row.version


def _row(line: bytes) -> _Row:
    """The fields before the record, which the decoder need not read, and might refuse."""
    head, found, _ = line.partition(b',"record":')
    return msgspec.json.decode(head + b"}" if found else line, type=_Row)
