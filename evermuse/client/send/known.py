"""Asks the server which versions it has, so that a run without its journal neither repeats nor reverts a change."""

import threading
import time
from collections.abc import Callable, Sequence

from evermuse.client.blocking import Client
from evermuse.client.endpoints import milliseconds
from evermuse.client.send.checking import Candidate
from evermuse.client.send.history import Identities
from evermuse.client.send.journal import CURRENT, HELD, REPLACED, SENT

UNKNOWN = "unknown"
# The server has another version, and cannot tell which of the two is older.
OTHER = "other"
# The longest wait for batches that were accepted before the run to land. The run continues after it.
LANDING_SECONDS = 120.0
Lookup = Callable[[Candidate], str]


class KnownRecords:
    """Decides which records of a batch are sent.

    If the workspace had no record of the type when the run began, all are sent. Otherwise current versions are skipped, and
    so are replaced versions unless ``overwrite``. One exception: after another version of the same record in the same run,
    both are sent, because the order of the file counts. ``watch`` gets each record that is skipped.
    """

    def __init__(self, client: Client, *, overwrite: bool, lookup: Lookup, watch: Callable[[Candidate], None]) -> None:
        self._client, self._overwrite, self._lookup, self._watch = client, overwrite, lookup, watch
        self._lock = threading.Lock()
        self._type_locks: dict[str, threading.Lock] = {}
        self._held_types: dict[str, bool] = {}
        self._is_empty = False
        self._sent, self._current = Identities(), Identities()

    def begin(self, note: Callable[[str], None]) -> None:
        """Wait until batches that were accepted earlier have landed, because the server compares only landed records."""
        newest = next(iter(next(self._client.batches(limit=1).pages()).rows), None)
        self._is_empty = newest is None
        if newest is None:
            return
        until = milliseconds(newest.created_at + 1)
        ends_at = time.monotonic() + LANDING_SECONDS
        is_noted = False
        while next(self._client.batches(limit=1, status="LANDING", until=until).pages()).rows:
            if time.monotonic() > ends_at:
                note("Some batches have not landed yet. Their records may be sent again.")
                return
            if not is_noted:
                note("Waiting until batches that were sent earlier have landed.")
                is_noted = True
            time.sleep(0.5)

    def asks_for(self, type: str) -> bool:
        """Whether the workspace had records of a type when this process first sent that type."""
        if self._is_empty:
            return False
        with self._lock:
            lock = self._type_locks.setdefault(type, threading.Lock())
        with lock:
            if type not in self._held_types:
                self._held_types[type] = bool(next(self._client.records(limit=1, type=type).pages()).rows)
            return self._held_types[type]

    def remember(self, candidate: Candidate, code: int) -> None:
        """A record that an earlier process of the run has handled."""
        with self._lock:
            if code == SENT:
                self._sent.add(candidate.identity)
            elif code == CURRENT:
                self._skip(candidate)

    def decide(self, candidates: Sequence[Candidate]) -> list[int]:
        """The decision for each record: SENT, CURRENT, REPLACED or HELD. The records have one type and are in order."""
        if not self.asks_for(candidates[0].type):
            return [SENT] * len(candidates)
        plain = [one for one in candidates if not one.local_files]
        answers = iter(self._client.known(one.digest() for one in plain) if plain else [])
        known = [self._lookup(one) if one.local_files else next(answers) for one in candidates]
        with self._lock:
            return [self._decided(one, found) for one, found in zip(candidates, known, strict=True)]

    def _decided(self, candidate: Candidate, found: str) -> int:
        identity = candidate.identity
        if found != UNKNOWN and identity not in self._sent:
            if found == "current":
                self._skip(candidate)
                return CURRENT
            if not self._overwrite and identity not in self._current:
                return HELD if found == OTHER else REPLACED
        self._sent.add(identity)
        return SENT

    def _skip(self, candidate: Candidate) -> None:
        self._current.add(candidate.identity)
        self._watch(candidate)
