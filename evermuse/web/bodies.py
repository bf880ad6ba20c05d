"""One budget of bytes for the bodies that a process holds: those still arriving and those being worked on.

Room is shared by key, as it is needed. When there is none left, a body of whoever holds most is given up for one who
holds less: a client that sends many bodies and finishes none cannot keep its neighbours out.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable

# A body waits this long for room before it is refused: bodies that are whole are stored within this time.
WAIT_SECONDS = 2.0


class NoRoom(Exception):
    """There is no room for a body within WAIT_SECONDS."""


class Holding:
    """What one body takes. Used in the event loop alone."""

    def __init__(self, budget: "BodyBudget", owner: str) -> None:
        self._budget, self.owner = budget, owner
        self.size = 0
        self.is_evicted = False
        # Gives this body up; None when it is whole, since it is being worked on then.
        self.evict: Callable[[], None] | None = None

    async def take(self, size: int) -> None:
        """Take ``size`` bytes, once there is room. Raises NoRoom."""
        await self._budget.take(self, size)

    def release(self) -> None:
        """Give all of it back."""
        self._budget.give_back(self)


class BodyBudget:
    """``limit``: bytes of all bodies together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._by_owner: defaultdict[str, int] = defaultdict(int)
        self._holdings: dict[Holding, None] = {}
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def used(self) -> int:
        """Bytes held now."""
        return self._used

    async def take(self, holding: Holding, size: int) -> None:
        """See Holding.take."""
        if self._used + size > self._limit:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    while self._used + size > self._limit:
                        if not self._evict_for(holding.owner, size):
                            await self._until_released()
            except TimeoutError:
                raise NoRoom from None
        self._holdings[holding] = None
        holding.size += size
        self._used += size
        self._by_owner[holding.owner] += size

    def give_back(self, holding: Holding) -> None:
        """See Holding.release."""
        if self._holdings.pop(holding, holding) is holding:
            return
        self._used -= holding.size
        self._by_owner[holding.owner] -= holding.size
        if not self._by_owner[holding.owner]:
            del self._by_owner[holding.owner]
        holding.size = 0
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)
        self._waiting.clear()

    def _evict_for(self, owner: str, size: int) -> bool:
        """Give up the oldest unfinished body of the greatest holder, if the asker would still hold less than that one."""
        greatest = max(self._by_owner, key=lambda name: self._by_owner[name], default=owner)
        if greatest == owner or self._by_owner[greatest] <= self._by_owner.get(owner, 0) + size:
            return False
        for holding in self._holdings:
            if holding.owner == greatest and holding.evict is not None:
                holding.is_evicted = True
                holding.evict()
                self.give_back(holding)
                return True
        return False

    async def _until_released(self) -> None:
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await waiter
        finally:
            self._waiting.discard(waiter)
