"""Processors: what is done with a batch beside landing it. Attachment download is the built-in one.

A deployment adds its own with ``EVERMUSE_PROCESSORS``. The pipeline (`ingest.pipeline.processing`) calls each processor by
this protocol and knows nothing else about it. How to write one: `evermuse/docs/extend.md`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol
from uuid import UUID

from django.conf import settings
from django.core.checks import CheckMessage, Error
from django.utils.module_loading import import_string

from evermuse import wake
from lake.envelope import Envelope

MAX_NAME = 64


class BatchRecord(Protocol):
    """An accepted record of a batch. It says nothing about where its bytes are stored."""

    @property
    def index(self) -> int:
        """Its place among the records that were sent, from 0."""

    @property
    def id(self) -> UUID:
        """Its identity: the same for each version of the record."""

    @property
    def envelope(self) -> Envelope:
        """The normalized envelope."""

    @property
    def data(self) -> bytes:
        """The JSON object ``data``."""


@dataclass(frozen=True, slots=True)
class LandingBatch:
    """A batch at the moment when it lands, with its accepted records."""

    id: int
    workspace_id: int
    records: Sequence[BatchRecord]


class WakeUp(Protocol):
    """Sends wake-ups to a processor's own workers: messages of its ``task``. Never raises; a message may be lost."""

    def __call__(self, times: int = 1) -> None: ...


class Processor(Protocol):
    """One step beside landing. A batch is COMPLETE when every processor calls it settled.

    Whatever a method raises is logged, noted on the batch's page, and tried again after a growing wait, for the batches
    that raised alone (`evermuse.retry_policy.PROCESSORS`). Other processors, batches and workspaces go on.
    """

    # Unique, and stable: the state of batches is stored under it. At most `MAX_NAME` characters.
    name: str
    # The Celery task of its own workers, which `start` may wake. Empty: it has none.
    task: str = ""
    # True: where `prepare` raises, the batch does not land. False: the batch lands, and `prepare` is called again later.
    must_prepare: bool = False

    def prepare(self, batches: Sequence[LandingBatch]) -> None:
        """Write what must be atomic with the landing. Called inside the transaction that lands the batches, so it must be
        quick, and must not wait for the network. It may be called again for a batch that landed without it."""
        return None

    def start(self, batch_ids: Sequence[int], wake: WakeUp) -> None:
        """Do the work, or set it going. Called outside of transactions. Called again until it returns without an
        error; then never again for that batch. A worker may die in between, so it must be idempotent."""

    def settled(self, batch_ids: Sequence[int]) -> set[int]:
        """Those of the started batches that are finished; a part that failed for good counts as done. Note what you have
        finished: a batch may have given no record (`lake.batch_records`)."""


def look_again(batch_ids: Sequence[int]) -> None:
    """Ask the pipeline to look at batches soon, because a processor has settled them. A lost message costs some seconds."""
    if batch_ids:
        wake.publish(wake.ADVANCE, sorted(batch_ids))


class WrongProcessor(Exception):
    """A processor of EVERMUSE_PROCESSORS cannot be used: which one, and why."""


@cache
def installed() -> tuple[Processor, ...]:
    """The processors of this deployment, in their order: the built-in ones first. Raises WrongProcessor."""
    return tuple(load())


def load() -> list[Processor]:
    """Make the processors that the settings name. Raises WrongProcessor."""
    found: list[Processor] = []
    for path in settings.EVERMUSE_PROCESSORS:
        try:
            processor: Processor = import_string(path)()
        except Exception as error:  # a module of somebody else
            raise WrongProcessor(f"{path!r} cannot be loaded: {type(error).__name__}: {error}") from error
        if fault := _fault(processor, [one.name for one in found]):
            raise WrongProcessor(f"{path!r} {fault}")
        found.append(processor)
    return found


def check(**_: object) -> list[CheckMessage]:
    """For ``django.core.checks.register``: the processors can be used."""
    try:
        load()
    except WrongProcessor as error:
        hint = (
            "Write module.Class, comma-separated. The app of a processor with tables must be in EVERMUSE_APPS. "
            "/docs/extend.html says what a processor needs."
        )
        return [Error(f"EVERMUSE_PROCESSORS: {error}.", hint=hint, id="evermuse.E002")]
    return []


def _fault(processor: Processor, names: Sequence[str]) -> str | None:
    methods = ("prepare", "start", "settled")
    missing = [one for one in methods if not callable(getattr(processor, one, None))]
    missing += [one for one in ("task", "must_prepare") if not hasattr(processor, one)]
    if missing:
        return f"has no {', '.join(missing)}: make it a subclass of lake.processors.Processor"
    name = getattr(processor, "name", None)
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or "\0" in name:
        return f"needs a name of 1 to {MAX_NAME} characters"
    return f"has the name {name!r} of another processor" if name in names else None
