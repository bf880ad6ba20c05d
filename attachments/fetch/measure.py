"""Size and checksums of a file, computed while it streams. Whole parts are hashed in the background."""

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache

Content = bytes | bytearray


@dataclass(frozen=True, slots=True)
class Checksums:
    """The checksums of a whole file, in hexadecimal."""

    sha256: str
    sha1: str
    md5: str


@cache
def _hashing() -> ThreadPoolExecutor:
    # hashlib releases the interpreter lock for large contents. More threads than cores gain nothing.
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="hashing")


class Measure:
    """Computes the checksums of one file. Parts are added in order, and each is hashed while the next one arrives."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._running: list[Future[None]] = []

    def add(self, part: Content) -> None:
        """Hash a part in the background, after the previous one. The caller must not change it."""
        self._catch_up()
        # MD5 takes as long as the two others together.
        self._running = [_hashing().submit(self._md5.update, part), _hashing().submit(self._add_to_shas, part)]

    def end(self, rest: Content) -> Checksums:
        """Hash the rest, and return the checksums of the whole file."""
        self._catch_up()
        self._md5.update(rest)
        self._add_to_shas(rest)
        return Checksums(self._sha256.hexdigest(), self._sha1.hexdigest(), self._md5.hexdigest())

    def _add_to_shas(self, part: Content) -> None:
        self._sha256.update(part)
        self._sha1.update(part)

    def _catch_up(self) -> None:
        wait(self._running)
        self._running.clear()
