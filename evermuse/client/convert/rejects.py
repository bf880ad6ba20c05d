"""The items that could not be converted, each as one JSON line, and the counts of a run."""

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import msgspec

_encode = msgspec.json.Encoder().encode
MAX_REASON = 2000


class RejectWriter:
    """Writes rejects to a file, which is created for the first one, and counts the items.

    ``read``: items found in the source. ``rejected``: lines in the file; ``duplicates`` of them are copies of a converted
    item. At the end of a run ``read == converted + rejected``. ``notes``: counts of details that are missing from converted
    records.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.read = 0
        self.converted = 0
        self.rejected = 0
        self.duplicates = 0
        self.notes: Counter[str] = Counter()
        self._file: BinaryIO | None = None
        if path is not None:
            # Remove the file of an earlier run, or its lines would seem to be from this run.
            path.unlink(missing_ok=True)

    def reject(self, *, file: str, offset: int, reason: str, length: int | None = None) -> None:
        """Write an item that cannot be converted. ``offset``, ``length``: bytes in the uncompressed file."""
        self._write({"file": shown_name(file), "offset": offset, "length": length, "reason": reason[:MAX_REASON]})

    def duplicate(self, *, file: str, offset: int, first_file: str, first_offset: int) -> None:
        """Write an item that was already converted from another place."""
        self.duplicates += 1
        reason = "duplicate: the same item was converted from another place"
        self._write(
            {
                "file": shown_name(file),
                "offset": offset,
                "reason": reason,
                "duplicateOf": {"file": shown_name(first_file), "offset": first_offset},
            }
        )

    def note(self, text: str, count: int = 1) -> None:
        """Count a note for the summary."""
        self.notes[text] += count

    @property
    def failed(self) -> int:
        """The number of items that were not converted, without duplicates."""
        return self.rejected - self.duplicates

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> "RejectWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _write(self, line: dict[str, object]) -> None:
        self.rejected += 1
        if self.path is None:
            return
        if self._file is None:
            self._file = self.path.open("wb")
        shown = {key: sound_text(value) if isinstance(value, str) else value for key, value in line.items()}
        self._file.write(_encode({key: value for key, value in shown.items() if value is not None}) + b"\n")
        self._file.flush()


def shown_name(name: str) -> str:
    """The name of a file, with ``\\xff`` for a byte that is not UTF-8, so that two such names stay different."""
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # Windows' names can have surrogates that are no bytes
        return sound_text(name)


def sound_text(text: str) -> str:
    """The text without lone surrogates, which UTF-8 cannot encode. They come from file names that are not UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
