"""Files of records that were not accepted, each with its errors. They are beside the file that the records come from.

`evermuse send` reads these files: fix the payloads and send the file.
"""

import contextlib
import json
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from evermuse.client.convert.rejects import shown_name
from evermuse.client.send.checking import shown_payload
from evermuse.client.send.opening import STDIN, is_stream

_encode = msgspec.json.Encoder().encode


class _Entry(msgspec.Struct):
    file: str
    record: int


_decode_entry = msgspec.json.Decoder(_Entry).decode


def beside(argument: Path, kind: str) -> Path:
    """The file for the records of a path: ``PATH.rejected.ndjson``."""
    if argument == STDIN:
        return Path(f"stdin.{kind}.ndjson")
    if is_stream(argument):  # often one of the shell's, in a directory of the system
        return Path(f"{argument.name}.{kind}.ndjson")
    if argument.name in {"", ".."}:  # the current directory, one above it, or the root
        argument = argument.resolve()
    return argument.parent / f"{argument.resolve().name or 'root'}.{kind}.ndjson"


class RejectFile:
    """Records of one kind from one path. Each is written once and at once, even if a killed run is continued."""

    def __init__(self, path: Path, *, is_resumed: bool) -> None:
        self.path = path
        self.count = 0
        self._lock = threading.Lock()
        self._file: BinaryIO | None = None
        self._written: set[tuple[str, int]] = set()
        self._is_resumed = is_resumed

    def begin(self) -> None:
        """Continue the file of the same run. Rename the file of another run."""
        if not self.path.exists():
            return
        if self._is_resumed:
            self._take_up()
        else:
            number = 1
            while (kept := self.path.with_name(f"{self.path.name.removesuffix('.ndjson')}.{number}.ndjson")).exists():
                number += 1
            self.path.replace(kept)

    def _take_up(self) -> None:
        with self.path.open("r+b") as file:
            end = 0
            for line in file:
                if not line.endswith(b"\n"):
                    file.truncate(end)  # incomplete, because the process was killed
                    break
                end += len(line)
                if (entry := _entry(line)) is not None:
                    self._written.add((entry.file, entry.record))
        self.count = len(self._written)

    def write(self, file: str, record: int, raw: bytes, errors: Sequence[Any], *, batch_id: str | None = None) -> None:
        """Write a record with its errors (each with code, pointer, message), unless it is there already."""
        file = shown_name(file)
        head: dict[str, Any] = {"file": file, "record": record}
        if batch_id is not None:
            head["batchId"] = batch_id
        shown = [{"code": e.code, "pointer": e.pointer, "message": e.message} for e in errors]
        # The payload comes last, so that its content cannot hide the other fields.
        opening = _encode({**head, "errors": shown})[:-1]
        with self._lock:
            if (file, record) in self._written:
                return
            if self._file is None:
                self._file = self.path.open("ab")
            self._file.write(b'%b,"payload":%b}\n' % (opening, shown_payload(raw, errors[0].code if errors else "")))
            self._file.flush()
            self._written.add((file, record))
            self.count += 1

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            if self._file is not None:
                # Every line was flushed, so an error was reported already, and must not hide the summary of the run.
                with contextlib.suppress(OSError):
                    self._file.close()
                self._file = None


def _entry(line: bytes) -> _Entry | None:
    """The record of a line, or None if `evermuse send` did not write the line."""
    try:
        return _decode_entry(line)
    except (msgspec.DecodeError, RecursionError):
        pass  # the fast decoder refuses some payloads
    head, found, _ = line.partition(b',"payload":')
    try:
        entry = json.loads(head + b"}") if found else None
    except ValueError:
        return None
    return _Entry(entry["file"], entry["record"]) if isinstance(entry, dict) and "record" in entry else None
