"""Records as they were sent or stored, by their place: from the payload while there is one, then from the segment.

A record of the index only says where its slice stands in the body of its batch (`Place`). The payload has the slice itself.
When retention has removed the payload, the segment has the record normalized, with every byte of ``data``.
"""

from collections.abc import Iterable

from lake import frames
from lake.frames import Place
from lake.segments import cold


def read(places: Iterable[Place]) -> dict[Place, bytes]:
    """The records at these places. One that is nowhere any more, because it was removed meanwhile, is missing.

    Raises StoreUnavailable and ArchiveDamaged for records that only the bucket has.
    """
    wanted = set(places)
    found = frames.read(wanted)
    if missing := wanted - found.keys():
        found.update(cold.read(missing))
    return found
