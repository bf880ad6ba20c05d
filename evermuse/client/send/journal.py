"""The state of a run: an append-only file that records planned and acknowledged batches.

A batch is planned, with its Idempotency-Key and the digest of its body, before it is first sent. A process that continues
the run sends planned batches again with the same key and the same bytes. If the file is lost, no record is lost: the run
asks the server which records it has (`evermuse.client.send.known`).
"""

import json
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from evermuse.client.send.checking import Position
from evermuse.client.send.locking import try_lock

UNSEEN, SENT, CURRENT, REPLACED, REJECTED, PLANNED, HELD = range(7)
# The server keeps answers for 24 hours. For an older plan, ask the server which of its records it has.
PLAN_SECONDS = 20 * 3600
# A clock may be corrected by this many seconds.
CLOCK_SECONDS = 60
_VERSION = 1


@dataclass(slots=True)
class Plan:
    """A batch that was planned. ``spans``: source, first and last record, and so on. ``uploads``: intents by position."""

    number: int
    key: str
    spans: list[int]
    sha: str
    at: float
    uploads: dict[str, dict[str, str]] = field(default_factory=dict)


@dataclass(slots=True)
class Totals:
    """The counts of a run, over all its processes. ``held``: the server has another version, perhaps an older one."""

    accepted: int = 0
    rejected: int = 0
    current: int = 0
    replaced: int = 0
    held: int = 0
    batches: int = 0

    @property
    def all(self) -> int:
        """The records that are accounted for."""
        return self.accepted + self.rejected + self.current + self.replaced + self.held


def spans_of(positions: Iterable[Position]) -> list[int]:
    """Positions in order as source, first, last, and so on."""
    spans: list[int] = []
    for source, number in positions:
        if spans and spans[-3] == source and spans[-1] == number - 1:
            spans[-1] = number
        else:
            spans += (source, number, number)
    return spans


def positions_of(spans: Sequence[int]) -> Iterator[Position]:
    """The positions of `spans_of`."""
    for at in range(0, len(spans), 3):
        for number in range(spans[at + 1], spans[at + 2] + 1):
            yield spans[at], number


class Journal:
    """One run. Threads may share it."""

    def __init__(self, file: BinaryIO | None, run_id: str) -> None:
        self.run_id = run_id
        self.totals = Totals()
        self.pending: dict[int, Plan] = {}
        self.batch_ids: dict[str, int] = {}
        self.is_resumed = False
        self._codes: dict[int, bytearray] = {}
        self._file = file
        self._lock = threading.Lock()
        self._number = 0

    # -- The state left by earlier processes --

    def code(self, position: Position) -> int:
        """The state of a record according to earlier processes."""
        codes = self._codes.get(position[0])
        return codes[position[1]] if codes is not None and position[1] < len(codes) else UNSEEN

    def load(self, lines: Iterable[bytes]) -> None:
        """Read what earlier processes of this run wrote. A last line without its end was never written."""
        plans: dict[int, Plan] = {}
        for line in lines:
            if not line.endswith(b"\n"):
                break
            entry = json.loads(line)
            match entry["do"]:
                case "plan":
                    del entry["do"]
                    plans[entry["number"]] = plan = Plan(**entry)
                    self._number = max(self._number, plan.number)
                    self._mark(plan.spans, PLANNED)
                case "ack":
                    plan = plans.pop(entry["number"])
                    self._mark(plan.spans, SENT)
                    self._count_ack(entry["batch"], entry["accepted"], entry["rejected"])
                case "drop":
                    self._mark(plans.pop(entry["number"]).spans, UNSEEN)
                case "settle":
                    self._mark(entry["spans"], entry["code"])
                    self._count(entry["code"], sum(1 for _ in positions_of(entry["spans"])))
        for plan in plans.values():
            # After the clock was turned back, a plan of any age may seem to come from the future.
            if not -CLOCK_SECONDS < time.time() - plan.at < PLAN_SECONDS:
                self._mark(plan.spans, UNSEEN)
            else:
                self.pending[plan.number] = plan
        self.is_resumed = True

    def _mark(self, spans: Sequence[int], code: int) -> None:
        for at in range(0, len(spans), 3):
            source, first, last = spans[at : at + 3]
            codes = self._codes.setdefault(source, bytearray())
            if len(codes) <= last:
                codes.extend(bytes(last + 1 - len(codes)))
            codes[first : last + 1] = bytes([code]) * (last + 1 - first)

    # -- The entries of this process --

    def plan(self, positions: Sequence[Position], sha: str, uploads: dict[str, dict[str, str]]) -> Plan:
        """Note a batch before it is sent. ``sha``: identifies its body."""
        with self._lock:
            self._number += 1
            key = f"{self.run_id}-{self._number}"
            plan = Plan(self._number, key, spans_of(positions), sha, time.time(), uploads)
            self._write(_planned(plan))
        return plan

    def acknowledge(self, plan: Plan, batch_id: str, accepted: int, rejected: int) -> None:
        """Note a batch that the server has."""
        with self._lock:
            self._write(
                {"do": "ack", "number": plan.number, "batch": batch_id, "accepted": accepted, "rejected": rejected}
            )
            self._count_ack(batch_id, accepted, rejected)

    def drop(self, plan: Plan) -> None:
        """Note that a plan is dropped. Its records are planned again."""
        with self._lock:
            self._write({"do": "drop", "number": plan.number})

    def settle(self, positions: Sequence[Position], code: int) -> None:
        """Note records that are not sent: CURRENT, REPLACED, HELD or REJECTED."""
        if positions:
            with self._lock:
                self._write({"do": "settle", "code": code, "spans": spans_of(positions)})
                self._count(code, len(positions))

    def end(self) -> None:
        """Note that the run is complete."""
        with self._lock:
            self._write({"do": "end"})

    def close(self) -> None:
        """Close the file, which releases the lock."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None

    def _count(self, code: int, count: int) -> None:
        if code == CURRENT:
            self.totals.current += count
        elif code == REPLACED:
            self.totals.replaced += count
        elif code == HELD:
            self.totals.held += count
        elif code == REJECTED:
            self.totals.rejected += count

    def _count_ack(self, batch_id: str, accepted: int, rejected: int) -> None:
        self.totals.accepted += accepted
        self.totals.rejected += rejected
        self.totals.batches += 1
        self.batch_ids[batch_id] = rejected

    def _write(self, entry: dict[str, Any]) -> None:
        if self._file is not None:
            self._file.write(json.dumps(entry, separators=(",", ":")).encode() + b"\n")
            self._file.flush()


def _planned(plan: Plan) -> dict[str, Any]:
    return {
        "do": "plan", "number": plan.number, "key": plan.key, "spans": plan.spans, "sha": plan.sha, "at": plan.at,
        "uploads": plan.uploads,
    }  # fmt: skip


def open_journal(directory: Path | None, identities: Sequence[Any]) -> Journal:
    """The journal of an unfinished run over the same files, or of a new run.

    ``identities``: the files' identities. A changed file starts a new run. Without a directory nothing is written. The
    journal of another running process is not touched.
    """
    if directory is None:
        return Journal(None, uuid.uuid4().hex)
    directory.mkdir(parents=True, exist_ok=True)
    header = {"do": "begin", "version": _VERSION, "sources": list(identities)}
    for path in sorted(directory.glob("*.journal"), key=_size, reverse=True):
        if (found := _resumed(path, header)) is not None:
            return found
    run_id = uuid.uuid4().hex
    file = (directory / f"{run_id}.journal").open("xb")
    try_lock(file)
    journal = Journal(file, run_id)
    journal._write({**header, "run": run_id})
    return journal


def _size(path: Path) -> int:
    """0 if another process has just removed the file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _resumed(path: Path, header: dict[str, Any]) -> Journal | None:
    """The run of a journal, if it is unfinished, not locked, and over the same files. Removes useless and damaged journals."""
    try:
        file = path.open("r+b")
    except FileNotFoundError:  # another process has just removed it
        return None
    if not try_lock(file):
        file.close()
        return None
    try:
        first = json.loads(file.readline() or b"{}")
    except ValueError:
        first = {}
    is_same = {name: first.get(name) for name in header} == header
    if not is_same or _is_finished(file):
        file.close()
        path.unlink(missing_ok=True)
        return None
    journal = Journal(file, first["run"])
    start = file.tell()
    try:
        journal.load(file)
    except (ValueError, KeyError, TypeError, IndexError):
        # Damaged, as after a power failure. The server is asked which records it has.
        file.close()
        path.unlink(missing_ok=True)
        return None
    _cut_unfinished_line(file, start)
    return journal


def _is_finished(file: BinaryIO) -> bool:
    start = file.tell()
    file.seek(max(start, file.seek(0, 2) - 64))
    is_finished = b'{"do":"end"}' in file.read()
    file.seek(start)
    return is_finished


def _cut_unfinished_line(file: BinaryIO, start: int) -> None:
    """Cut off the incomplete last line of a killed process, and seek to the end."""
    end = file.seek(0, 2)
    back = max(start, end - 16 * 1024 * 1024)
    file.seek(back)
    tail = file.read()
    if not tail.endswith(b"\n"):
        file.truncate(back + tail.rfind(b"\n") + 1)
    file.seek(0, 2)
