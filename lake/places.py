"""Reads records by their place: from the payload if it exists, else from the segment.

A record of the index has only the position of its slice in the body of its batch (`Place`). The payload contains the
slice itself. After retention has removed the payload, the segment contains the normalized record, with every byte of
``data``.
"""

from collections.abc import Iterable

from lake import frames
from lake.frames import Place
from lake.segments import cold


def read(places: Iterable[Place]) -> dict[Place, bytes]:
    """The records at these places. A record that was removed meanwhile is missing.

    Raises StoreUnavailable and ArchiveDamaged for records that only the bucket has.
    """
    wanted = set(places)
    found = frames.read(wanted)
    if missing := wanted - found.keys():
        found.update(cold.read(missing))
    return found
