"""Answers of which a client may have so many at once: they wait for their place here, and hold no thread meanwhile."""

import asyncio
from concurrent.futures import Executor
from typing import Protocol

from evermuse.web.answers import CutOff, is_gone
from evermuse.web.exchange import Exchange

ASK_AGAIN_SECONDS = 0.05


class Place(Protocol):
    """The attribute ``place`` of an answer that must not begin yet."""

    def is_open(self) -> bool:
        """Whether the answer may begin; False: ask again soon. Raises Refused when it may not begin at all."""


async def opened(place: Place, exchange: Exchange, pool: Executor) -> None:
    """Wait until the place is open. Raises Refused, and CutOff when the client is gone."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(ASK_AGAIN_SECONDS)
        if is_gone(exchange):
            raise CutOff
        if await loop.run_in_executor(pool, place.is_open):
            return
