"""A cache of recently read blocks, with a limit in bytes for each process."""

import threading
from collections import OrderedDict

from django.conf import settings

from lake.segments.reader import Block

# A segment and the byte at which the block begins. Objects never change.
BlockKey = tuple[int, int]


class BlockCache:
    """The most recently used blocks. ``limit``: approximate bytes of memory. 0 turns the cache off."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._blocks: OrderedDict[BlockKey, Block] = OrderedDict()
        self._lock = threading.Lock()
        self.size = 0

    def get(self, key: BlockKey) -> Block | None:
        """A block, or None if it is not cached."""
        with self._lock:
            found = self._blocks.get(key)
            if found is not None:
                self._blocks.move_to_end(key)
            return found

    def put(self, key: BlockKey, block: Block) -> None:
        """Add a block, and evict the least recently used ones if there is no room."""
        if block.cost > self._limit // 4:
            return
        with self._lock:
            if (before := self._blocks.pop(key, None)) is not None:
                self.size -= before.cost
            self._blocks[key] = block
            self.size += block.cost
            while self.size > self._limit:
                _, oldest = self._blocks.popitem(last=False)
                self.size -= oldest.cost


blocks = BlockCache(settings.EVERMUSE_SEGMENT_CACHE_BYTES)
