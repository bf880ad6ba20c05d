"""Limits how many responses of a kind a client has at a time. The others wait here without holding a thread."""

import asyncio
from concurrent.futures import Executor
from typing import Protocol

from evermuse.web.answers import CutOff, is_gone
from evermuse.web.exchange import Exchange

ASK_AGAIN_SECONDS = 0.05


class AnswerPlace(Protocol):
    """The attribute ``place`` of a response that may have to wait."""

    def is_open(self) -> bool:
        """Whether the response may start. False: ask again soon. Raises Refused if it may not start at all."""


async def opened(place: AnswerPlace, exchange: Exchange, pool: Executor) -> None:
    """Wait until the response may start. Raises Refused, and CutOff if the client has gone."""
    loop = asyncio.get_running_loop()
    while True:
        await asyncio.sleep(ASK_AGAIN_SECONDS)
        if is_gone(exchange):
            raise CutOff
        if await loop.run_in_executor(pool, place.is_open):
            return
