"""A byte budget for the responses that a process produces and holds.

A response reserves its room before it is produced. Owners (workspaces) take turns, and each owner's requests are served
in order. While others wait, an owner holds at most half of the budget.
"""

import asyncio
import hashlib
from collections import OrderedDict, defaultdict, deque
from typing import Any

from evermuse.web.request import OWNER

# The largest size of a page of records, errors or attachments (`ingest.api.base`).
ROOM_BYTES = 8 * 1024 * 1024
# A piece of a stored file (`attachments.serving.objects`).
FILE_ROOM_BYTES = 1024 * 1024
# The room of any other response: lists of batches, a batch's status, a key. It is far more than they need, which limits
# how many of them wait for threads.
SMALL_ROOM_BYTES = 512 * 1024


# The number of keys whose workspaces are remembered.
_KEYS = 10_000


class Owners:
    """The owner of a request, known before it runs: the workspace if an earlier request showed it, else the key."""

    def __init__(self) -> None:
        self._workspaces: OrderedDict[str, str] = OrderedDict()

    def of(self, environ: dict[str, Any]) -> str:
        """The owner of a request."""
        key = _key(environ)
        return self._workspaces.get(key, key)

    def learn(self, environ: dict[str, Any]) -> None:
        """Remember the workspace that a request turned out to have (`ingest.api.base`)."""
        if (owner := environ.get(OWNER)) is not None:
            key = _key(environ)
            self._workspaces[key] = owner
            self._workspaces.move_to_end(key)
            if len(self._workspaces) > _KEYS:
                self._workspaces.popitem(last=False)


def _key(environ: dict[str, Any]) -> str:
    """A digest of the key, because secrets are not stored, or of the address if there is no key."""
    named = environ.get("HTTP_X_API_KEY") or environ["REMOTE_ADDR"]
    return hashlib.blake2b(named.encode("latin-1", "replace"), digest_size=16).hexdigest()


class AnswerBudget:
    """``limit``: the bytes of all responses together. Used only in the event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = self._free = limit
        self._held: defaultdict[str, int] = defaultdict(int)
        # The waiting owners in the order of their turns, each with its requests in order.
        self._waiting: OrderedDict[str, deque[tuple[int, asyncio.Future[Room]]]] = OrderedDict()

    async def room(self, owner: str, size: int = ROOM_BYTES) -> "Room":
        """Reserve room for a response of up to ``size`` bytes, at the owner's turn."""
        waiter: asyncio.Future[Room] = asyncio.get_running_loop().create_future()
        entry = (min(size, self._limit), waiter)
        self._waiting.setdefault(owner, deque()).append(entry)
        self._hand_over()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():
                waiter.result().release()
            else:
                self._leave(owner, entry)
            raise

    def give_back(self, owner: str, size: int) -> None:
        """Pass released room to those who wait, before its previous holder can take it again."""
        self._free += size
        self._held[owner] -= size
        if not self._held[owner]:
            del self._held[owner]
        self._hand_over()

    def _hand_over(self) -> None:
        while (owner := self._next()) is not None:
            requests = self._waiting[owner]
            size, waiter = requests[0]
            if size > self._free:
                return
            requests.popleft()
            if requests:
                self._waiting.move_to_end(owner)
            else:
                del self._waiting[owner]
            self._free -= size
            self._held[owner] += size
            waiter.set_result(Room(self, owner, size))

    def _next(self) -> str | None:
        """The next owner: the first one that would not hold more than half, or else the first one."""
        for owner, requests in self._waiting.items():
            held = self._held.get(owner, 0)
            if not held or held + requests[0][0] <= self._limit // 2:
                return owner
        return next(iter(self._waiting), None)

    def _leave(self, owner: str, entry: "tuple[int, asyncio.Future[Room]]") -> None:
        requests = self._waiting[owner]
        requests.remove(entry)
        if not requests:
            del self._waiting[owner]
        self._hand_over()


class Room:
    """The reserved room of one response."""

    def __init__(self, budget: AnswerBudget, owner: str, size: int) -> None:
        self._budget, self._owner, self._size = budget, owner, size

    def fit(self, size: int) -> None:
        """Release what the finished response does not need. A larger one reserves more than there is."""
        given, self._size = self._size - size, size
        self._budget.give_back(self._owner, given)

    def release(self) -> None:
        """Release all room."""
        if self._size:
            self.fit(0)
