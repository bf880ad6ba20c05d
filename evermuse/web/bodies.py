"""One budget of bytes for the bodies that a process holds: those still arriving and those being worked on.

Room is shared by workspace, as it is needed. When there is none left, bodies are given up for others: first those that
do not arrive, then those of whoever holds most, for one who holds less. A client that sends many bodies and finishes
none cannot keep its neighbours out.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable

from django.conf import settings

# A body waits this long for room before it is refused: bodies that are whole are stored within this time.
WAIT_SECONDS = 2.0
# What waits looks this often whether a body has become slow.
LOOK_SECONDS = 0.25
# A body is slow when nothing came for this long, or less in such a time than brings it to its end in time.
SLOW_SECONDS = 1.0


class NoRoom(Exception):
    """There is no room for a body within WAIT_SECONDS."""


class Holding:
    """What one body takes. Used in the event loop alone."""

    def __init__(self, budget: "BodyBudget", owner: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget, self.owner = budget, owner
        self._clock = clock
        self.size = 0
        self.is_evicted = False
        # Gives this body up; None when it is whole, since it is being worked on then.
        self.evict: Callable[[], None] | None = None
        self._came_last = self._since = clock()
        self._came = 0
        self._rate: float | None = None

    async def take(self, size: int) -> None:
        """Take ``size`` bytes, once there is room. Raises NoRoom."""
        await self._budget.take(self, size)
        # Nothing was read while this waited.
        self._came_last = self._since = self._clock()
        self._came, self._rate = 0, None

    def arrived(self, size: int) -> None:
        """So many bytes of the body have come."""
        self._measure()
        self._came += size
        self._came_last = self._clock()

    def is_slow(self) -> bool:
        """Whether the body stalls, or arrives too slowly to be whole within its time."""
        self._measure()
        if self._clock() - self._came_last > SLOW_SECONDS:
            return True
        if self._rate is None:
            return False
        came = self._rate * SLOW_SECONDS + self._came
        return came < self.size / settings.EVERMUSE_BODY_TIMEOUT_SECONDS * SLOW_SECONDS

    def _measure(self) -> None:
        now = self._clock()
        if now - self._since >= SLOW_SECONDS:
            self._rate = self._came / (now - self._since)
            self._since, self._came = now, 0

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
        """Give up one unfinished body, if there is one that must make room for the asker's."""
        unfinished = [holding for holding in self._holdings if holding.evict is not None]
        slow = [holding for holding in unfinished if holding.is_slow()]
        if slow:
            self._evict(max(slow, key=lambda holding: self._by_owner[holding.owner]))
            return True
        greatest = max(self._by_owner, key=lambda name: self._by_owner[name], default=owner)
        if greatest == owner or self._by_owner[greatest] <= self._by_owner.get(owner, 0) + size:
            return False
        for holding in unfinished:
            if holding.owner == greatest:
                self._evict(holding)
                return True
        return False

    def _evict(self, holding: Holding) -> None:
        assert holding.evict is not None
        holding.is_evicted = True
        holding.evict()
        self.give_back(holding)

    async def _until_released(self) -> None:
        """Until room was given back, or it is time to look for slow bodies again."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await asyncio.wait([waiter], timeout=LOOK_SECONDS)
        finally:
            self._waiting.discard(waiter)
