"""Processors: what is done with a batch once it has landed. A deployment extends the list ``EVERMUSE_PROCESSORS``."""

from collections.abc import Sequence
from functools import cache
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string


class Processor(Protocol):
    """One step after landing. A batch is COMPLETE when all processors call it settled."""

    name: str

    def start(self, batch_ids: Sequence[int]) -> None:
        """Set the work going. Called at least once a batch, outside of transactions: must be idempotent."""

    def settled(self, batch_ids: Sequence[int]) -> set[int]:
        """Those of the batches with which nothing is left to do; a failed part counts as done."""


@cache
def installed() -> tuple[Processor, ...]:
    """The processors of this deployment, in their order."""
    return tuple(import_string(path)() for path in settings.EVERMUSE_PROCESSORS)
