"""A byte budget for the request bodies that a process holds, both arriving and being processed.

Room is shared by workspace as needed. If none is left, bodies are dropped for others: first those that do not arrive,
then those of the workspace that holds most, in favour of one that holds less. A client that sends many bodies and
finishes none cannot keep others out.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable

from django.conf import settings

# How long a body waits for room. Complete bodies are stored within this time.
WAIT_SECONDS = 2.0
# How often a waiting body checks whether another one has become slow.
LOOK_SECONDS = 0.25
# A body is slow if nothing arrives for this long, or if at its current rate it would not arrive in time.
SLOW_SECONDS = 1.0


class NoRoom(Exception):
    """No room became free within WAIT_SECONDS."""


class Holding:
    """The room of one body. Used only in the event loop."""

    def __init__(self, budget: "BodyBudget", owner: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._budget, self.owner = budget, owner
        self._clock = clock
        self.size = 0
        self.is_evicted = False
        # Drops this body. None once it is complete, because it is being processed.
        self.evict: Callable[[], None] | None = None
        self._came_last = self._since = clock()
        self._came = 0
        self._rate: float | None = None

    async def take(self, size: int) -> None:
        """Reserve ``size`` bytes, as soon as there is room. Raises NoRoom."""
        await self._budget.take(self, size)
        # Nothing was read while this waited.
        self._came_last = self._since = self._clock()
        self._came, self._rate = 0, None

    def arrived(self, size: int) -> None:
        """Count bytes that have arrived."""
        self._measure()
        self._came += size
        self._came_last = self._clock()

    def is_slow(self) -> bool:
        """Whether the body has stalled, or is too slow to arrive in time."""
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
        """Release all room."""
        self._budget.give_back(self)


class BodyBudget:
    """``limit``: the bytes of all bodies together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used = 0
        self._by_owner: defaultdict[str, int] = defaultdict(int)
        self._holdings: dict[Holding, None] = {}
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def used(self) -> int:
        """The bytes that are reserved now."""
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
        """Drop one unfinished body if one must make room for this one."""
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
        """Wait until room was released, or until slow bodies must be checked again."""
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.add(waiter)
        try:
            await asyncio.wait([waiter], timeout=LOOK_SECONDS)
        finally:
            self._waiting.discard(waiter)
