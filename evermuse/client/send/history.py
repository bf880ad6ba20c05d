"""Remembers the identities that a run has handled, in about 8 bytes each. Keeps the order of versions within a file."""

from array import array
from bisect import bisect_left

_CHUNK = 65_536


class Identities:
    """A set of 64-bit numbers that only grows."""

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._sealed: list[array[int]] = []

    def add(self, identity: int) -> None:
        """Add one."""
        self._recent.add(identity)
        if len(self._recent) >= _CHUNK:
            self._sealed.append(array("q", sorted(self._recent)))
            self._recent = set()

    def __contains__(self, identity: int) -> bool:
        if identity in self._recent:
            return True
        for chunk in self._sealed:
            at = bisect_left(chunk, identity)
            if at < len(chunk) and chunk[at] == identity:
                return True
        return False
