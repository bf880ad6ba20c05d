"""Size and checksums of a file, taken while it streams: whole parts in the background, the rest at its end."""

import hashlib
import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache

Content = bytes | bytearray


@dataclass(frozen=True, slots=True)
class Checksums:
    """What a whole file came to; hexadecimal."""

    sha256: str
    sha1: str
    md5: str


@cache
def _hashing() -> ThreadPoolExecutor:
    # hashlib lets go of the interpreter for large contents: more threads than cores gain nothing.
    return ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="hashing")


class Measure:
    """The checksums of one file. Its parts come in order; each is hashed while the next one comes in."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._running: list[Future[None]] = []

    def add(self, part: Content) -> None:
        """Hash a part in the background, behind the one before. The caller leaves it as it is."""
        self._catch_up()
        # MD5 costs as much as the two others together.
        self._running = [_hashing().submit(self._md5.update, part), _hashing().submit(self._add_to_shas, part)]

    def end(self, rest: Content) -> Checksums:
        """Hash what is left and give the checksums of the whole file."""
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
