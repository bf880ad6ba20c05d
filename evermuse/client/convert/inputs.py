"""Finds the files of a run in a fixed order, and unpacks compressed ones into temporary files."""

import bz2
import gzip
import lzma
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO, Protocol

import zstandard

from evermuse.client.convert.format import UsageError

STANDARD_INPUT = Path("-")
_COPY_BYTES = 1024 * 1024


def check_readable(paths: Sequence[Path]) -> None:
    """Raise UsageError for a path that does not exist or cannot be read."""
    for path in paths:
        if path != STANDARD_INPUT and not path.exists():
            raise UsageError(f"{path}: there is no such file or directory")
        if path != STANDARD_INPUT and not os.access(path, os.R_OK):
            raise UsageError(f"{path}: permission denied")


def files_under(path: Path, *, suffixes: Sequence[str] = ()) -> Iterator[Path]:
    """The files under a path, or the path itself if it is a file, ordered by name. Hidden files are skipped.

    ``suffixes``: the suffixes to find in directories, in lower case. A file that is named itself may have any.
    """
    if path == STANDARD_INPUT or not path.is_dir():
        yield path
        return
    for directory, names, files in os.walk(path):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith(".") and (not suffixes or name.lower().endswith(tuple(suffixes))):
                yield Path(directory, name)


def unpacked(path: Path, scratch: Path) -> Path:
    """The path, or for compressed files, pipes and standard input, a file in the scratch directory with the content.

    Unpacks only at the first call. Raises UsageError if the file cannot be unpacked.
    """
    if path == STANDARD_INPUT or not path.is_file():
        return unpacked(_spooled(path, scratch), scratch)
    with path.open("rb") as file:
        stream = _decompressed(file)
        if stream is None:
            return path
        target = scratch / _short_name(path)
        if target.exists():
            return target
        with target.open("wb") as spool:
            try:
                while block := stream.read(_COPY_BYTES):
                    spool.write(block)
            except (OSError, EOFError, lzma.LZMAError, zstandard.ZstdError) as error:
                raise UsageError(f"{path}: cannot be unpacked: {error}") from error
        return target


def _spooled(path: Path, scratch: Path) -> Path:
    target = scratch / f"piped-{_short_name(path)}"
    if not target.exists():
        if path == STANDARD_INPUT and sys.stdin is None:
            raise UsageError("standard input is closed")
        with sys.stdin.buffer if path == STANDARD_INPUT else path.open("rb") as pipe, target.open("wb") as spool:
            shutil.copyfileobj(pipe, spool, _COPY_BYTES)
    return target


def _short_name(path: Path) -> str:
    return blake2b(os.fsencode(path), digest_size=16).hexdigest()


class _Stream(Protocol):
    def read(self, size: int = ..., /) -> bytes: ...


def _decompressed(file: BinaryIO) -> _Stream | None:
    """A stream of the decompressed content, or None if the file is not compressed."""
    head = file.read(6)
    file.seek(0)
    if head.startswith(b"\x1f\x8b"):
        return gzip.GzipFile(fileobj=file)
    if head.startswith(b"BZh"):
        return bz2.BZ2File(file)
    if head.startswith(b"\xfd7zXZ\x00"):
        return lzma.LZMAFile(file)
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    return None
