"""The files of the given paths, in a fixed order, each with an identity."""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evermuse.client.send.opening import STDIN, is_stream

# Suffixes of files with records in a directory, and of files that an earlier run wrote beside them.
# Files that are compressed in a way that cannot be read are found too, and reported when they are opened.
_HOLDS_RECORDS = re.compile(r"\.(?:ndjson|jsonl|json)(?:\.(?:gz|zst|zstd|bz2|xz|zip))?$", re.IGNORECASE)
ENDINGS = ".ndjson, .jsonl or .json"
_OF_A_RUN = re.compile(r"\.(?:rejected|replaced|unconverted)(?:\.\d+)?\.ndjson$")
_HEAD_BYTES = 64 * 1024
# Files of other systems, by their suffixes. Read as records, each of their lines would be a reject.
_FORMAT_OF = {
    ".mbox": "mbox", ".eml": "eml", ".emlx": "eml", ".vtt": "vtt", ".srt": "srt", ".csv": "csv", ".tsv": "csv",
    ".zip": "slack",
}  # fmt: skip


class NothingToRead(Exception):
    """A path does not exist or has no records."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file. ``argument``: the path on the command line, perhaps a directory above it. ``size``: bytes, 0 if unknown."""

    argument: Path
    path: Path
    size: int

    @property
    def is_stdin(self) -> bool:
        """Whether it is standard input."""
        return self.path == STDIN

    @property
    def is_stream(self) -> bool:
        """Whether it can be read only once: standard input, or a pipe such as ``<(zstd -dc calls.ndjson.zst)``."""
        return is_stream(self.path)

    @property
    def name(self) -> str:
        """The name in messages and in files of rejects."""
        return "standard input" if self.is_stdin else str(self.path)

    def identity(self) -> list[str | int]:
        """Identifies an unchanged file: path, size, time of change, and a digest of its beginning."""
        status = self.path.stat()
        if self.path.is_dir():
            return [str(self.path.resolve()), _content(self.path)]
        with self.path.open("rb") as file:
            head = hashlib.sha256(file.read(_HEAD_BYTES)).hexdigest()
        return [str(self.path.resolve()), status.st_size, status.st_mtime_ns, head]


def find(arguments: Sequence[Path]) -> list[Source]:
    """The sources of the given paths. Raises NothingToRead."""
    found: dict[Path, Source] = {}
    for argument in arguments:
        if argument == STDIN:
            found[argument] = Source(argument, argument, 0)
            continue
        if not argument.exists():
            raise NothingToRead(f"{argument}: there is no such file or directory")
        if argument.is_file() and (format := _FORMAT_OF.get(argument.suffix.lower())):
            raise NothingToRead(f"{argument}: not a file of records; evermuse send --from {format} converts it")
        paths = list(_files(argument)) if argument.is_dir() else [argument]
        if not paths:
            raise NothingToRead(f"{argument}: no file in it ends with {ENDINGS}")
        for path in paths:
            found.setdefault(path, Source(argument, path, path.stat().st_size))
    return list(found.values())


def _content(directory: Path) -> str:
    """A hash of the names, sizes and times of all files."""
    found = hashlib.sha256()
    for root, names, files in os.walk(directory):
        names.sort()
        for name in sorted(files):
            status = Path(root, name).stat()
            found.update(f"{root}\0{name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "surrogatepass"))
    return found.hexdigest()


def ignored(arguments: Iterable[Path]) -> list[Path]:
    """The other files in the directories, without hidden ones and those that a run wrote."""
    directories = sorted(path for path in arguments if path.is_dir())
    return [path for directory in directories for path in _all(directory) if not _HOLDS_RECORDS.search(path.name)]


def _files(directory: Path) -> Iterator[Path]:
    return (path for path in _all(directory) if _HOLDS_RECORDS.search(path.name))


def _all(directory: Path) -> Iterator[Path]:
    for root, names, files in os.walk(directory):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            if not _OF_A_RUN.search(name) and not name.startswith("."):
                yield Path(root, name)
