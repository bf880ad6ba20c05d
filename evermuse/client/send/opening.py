"""Opens a source. Its first bytes tell whether it is plain, gzip or zstd. A truncated compressed file is an error."""

import gzip
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, BinaryIO, cast

import zstandard

BLOCK_BYTES = 256 * 1024
STDIN = Path("-")
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_HEAD_BYTES = 6


# Beginnings of files that hold no records as they are, and what to do with them.
_OTHERS = {
    b"BZh": "compressed with bzip2; unpack it, or use bzip2 -dc FILE | evermuse send -",
    b"\xfd7zXZ\x00": "compressed with xz; unpack it, or use xz -dc FILE | evermuse send -",
    b"PK\x03\x04": "a zip file; unpack it",
    b"\xff\xfe": "UTF-16; convert it to UTF-8",
    b"\xfe\xff": "UTF-16; convert it to UTF-8",
}


class SourceError(Exception):
    """A source cannot be read to its end. The text has the reason."""


def is_stream(path: Path) -> bool:
    """Whether a path that exists can be read only once."""
    return path == STDIN or not (path.is_file() or path.is_dir())


class _Blocks(io.RawIOBase):
    """Blocks of bytes as a file that cannot be read twice."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks, self._rest = blocks, memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        if not self._rest:
            self._rest = memoryview(next(self._blocks, b""))
        size = min(len(target), len(self._rest))
        target[:size] = self._rest[:size]
        self._rest = self._rest[size:]
        return size


class OpenSource:
    """An open file. ``position``: the bytes of the file read so far, before decompression."""

    def __init__(self, path: Path) -> None:
        if path == STDIN and sys.stdin is None:
            raise SourceError("standard input is closed")
        file: IO[bytes] = sys.stdin.buffer if path == STDIN else path.open("rb")
        self._is_own = path != STDIN
        self._file = file if isinstance(file, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, file))
        self._head = b""
        self.position = 0

    def blocks(self) -> Iterator[bytes]:
        """The content, decompressed. Raises SourceError."""
        try:
            head = self._beginning()
            for beginning, what in _OTHERS.items():
                if head.startswith(beginning):
                    raise SourceError(f"the file is {what}")
            if head.startswith(_GZIP):
                yield from self._gunzipped()
            elif head.startswith(_ZSTD):
                yield from self._unzstd()
            else:
                yield from self._read()
        except (OSError, EOFError, zstandard.ZstdError) as error:
            raise SourceError(str(error)) from error
        finally:
            if self._is_own:
                self._file.close()

    def _beginning(self) -> bytes:
        """The first bytes, which tell the form. A pipe may give them one by one."""
        while len(self._head) < _HEAD_BYTES and (more := self._file.read1(_HEAD_BYTES - len(self._head))):
            self._head += more
        return self._head

    def _read(self) -> Iterator[bytes]:
        while block := self._head + self._file.read1(BLOCK_BYTES):
            self._head = b""
            self.position += len(block)
            yield block

    def _gunzipped(self) -> Iterator[bytes]:
        packed = io.BufferedReader(_Blocks(self._read()), BLOCK_BYTES)
        with gzip.GzipFile(fileobj=cast(BinaryIO, packed)) as unpacked:
            while block := unpacked.read(BLOCK_BYTES):
                yield block

    def _unzstd(self) -> Iterator[bytes]:
        """Decompresses frame by frame, because the library's own reader does not report a truncated last frame."""
        frame = zstandard.ZstdDecompressor().decompressobj()
        is_fresh = True
        for block in self._read():
            rest = block
            while rest:
                if frame.eof:
                    frame, is_fresh = zstandard.ZstdDecompressor().decompressobj(), True
                if content := frame.decompress(rest):
                    yield content
                is_fresh = False
                rest = frame.unused_data if frame.eof else b""
        if not frame.eof and not is_fresh:
            raise EOFError("the compressed file ends before its end-of-stream marker")
