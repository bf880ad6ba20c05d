"""Records the outcomes: writes the files of rejects, and counts for the progress display."""

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from evermuse.client.answers import FieldError, Rejection
from evermuse.client.send.checking import Candidate, Invalid, Position
from evermuse.client.send.journal import REJECTED, Journal
from evermuse.client.send.rejects import RejectFile, beside
from evermuse.client.send.sources import Source

_REPLACED = [
    FieldError(code="REPLACED", pointer="", message="the server has a newer version; --overwrite sends this one")
]
# Uploads have new ids each time, so the server cannot tell whether it has had a version of such a record before.
_OTHER = [
    FieldError(
        code="REPLACED",
        pointer="",
        message="the server has another version, perhaps a newer one; --overwrite sends this one",
    )
]


class Outcomes:
    """Writes the records that were not accepted, and counts. Threads may share it."""

    def __init__(self, sources: Sequence[Source], journal: Journal, rejects: Path | None = None) -> None:
        self._sources, self._journal = sources, journal
        self._lock = threading.Lock()
        arguments = list(dict.fromkeys(source.argument for source in sources))
        self._rejected = {
            one: RejectFile(rejects or beside(one, "rejected"), is_resumed=journal.is_resumed) for one in arguments
        }
        if rejects is not None:  # one file for all
            self._rejected = dict.fromkeys(arguments, next(iter(self._rejected.values())))
        self._replaced = {one: RejectFile(beside(one, "replaced"), is_resumed=journal.is_resumed) for one in arguments}
        self.sent_records = 0
        self.sent_bytes = 0
        self.examples: list[str] = []
        for file in self._files():
            file.begin()

    def _files(self) -> list[RejectFile]:
        return list(dict.fromkeys([*self._rejected.values(), *self._replaced.values()]))

    @property
    def reject_files(self) -> list[Path]:
        """Files with rejected records."""
        return [file.path for file in dict.fromkeys(self._rejected.values()) if file.count]

    @property
    def replaced_files(self) -> list[Path]:
        """Files with replaced records."""
        return [file.path for file in self._replaced.values() if file.count]

    def sent(self, records: int, size: int) -> None:
        """Count a batch that the server accepted. ``size``: bytes of the body."""
        with self._lock:
            self.sent_records += records
            self.sent_bytes += size

    def invalid(self, found: Sequence[Invalid]) -> None:
        """Write records that the validator rejects and that are not sent."""
        for one in found:
            self._write(self._rejected, one.position, one.raw, one.errors, None)
        self.settle_rejected([one.position for one in found])

    def settle_rejected(self, positions: Sequence[Position]) -> None:
        """Note in the journal, once the records are written."""
        self._journal.settle(positions, REJECTED)

    def reject(
        self,
        rejections: Iterable[Rejection],
        candidates: Sequence[Candidate],
        batch_id: str | None,
    ) -> None:
        """Write the records of a batch that the server rejected."""
        for one in rejections:
            candidate = candidates[one.index]
            # The record as read, without ids of uploads: the next run uploads its files again.
            self._write(self._rejected, candidate.position, candidate.raw, one.errors, batch_id)

    def keep_back(self, candidates: Sequence[Candidate]) -> None:
        """Write versions that newer ones have replaced."""
        for one in candidates:
            errors = _OTHER if one.local_files else _REPLACED
            self._write(self._replaced, one.position, one.raw, errors, None)

    def _write(
        self,
        files: dict[Path, RejectFile],
        position: Position,
        raw: bytes,
        errors: Sequence[Any],
        batch_id: str | None,
    ) -> None:
        source = self._sources[position[0]]
        files[source.argument].write(source.name, position[1], raw, errors, batch_id=batch_id)
        with self._lock:
            if len(self.examples) < 10:
                self.examples.append(f"{source.name}, record {position[1]}: {errors[0].message}")

    def close(self) -> None:
        """Close all files."""
        for file in self._files():
            file.close()
