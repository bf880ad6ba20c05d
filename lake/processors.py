"""Processors: further steps after a batch has landed. Attachment download is the built-in one.

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
    """An accepted record of a batch, without where its bytes are stored."""

    @property
    def index(self) -> int:
        """Its position among the records that were sent, from 0."""

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
    """A batch that is being landed, with its accepted records."""

    id: int
    workspace_id: int
    records: Sequence[BatchRecord]


class WakeUp(Protocol):
    """Sends messages of the processor's ``task`` to its own workers. Never raises. A message may be lost."""

    def __call__(self, times: int = 1) -> None: ...


class Processor(Protocol):
    """One further step for landed batches. A batch is COMPLETE when every processor reports it as settled.

    If a method raises, the error is logged and shown on the batch's page, and the method is called again after a growing wait
    (`evermuse.retry_policy.PROCESSORS`). Only the batches that raised wait. Other processors, batches and workspaces continue.
    """

    # Unique. Never change it, because the state of batches is stored under it. At most `MAX_NAME` characters.
    name: str
    # The Celery task of its own workers, which `start` may wake. Empty if it has none.
    task: str = ""
    # What happens if `prepare` raises. True: the batch does not land. False: it lands, and `prepare` is called again later.
    must_prepare: bool = False

    def prepare(self, batches: Sequence[LandingBatch]) -> None:
        """Write what must be atomic with the landing.

        It runs inside the transaction that lands the batches, so it must be quick and must not wait for the network. It may be
        called again for a batch that landed without it.
        """
        return None

    def start(self, batch_ids: Sequence[int], wake: WakeUp) -> None:
        """Do the work, or start it elsewhere.

        It runs in a landing worker, outside of transactions, and without a time limit. The worker lands nothing else meanwhile,
        so it should return within about a second; slow work belongs in the processor's own tasks. It is called until it returns
        without an error, and then never again for that batch. A worker may die during the call, so it must be idempotent.
        """

    def settled(self, batch_ids: Sequence[int]) -> set[int]:
        """Return the started batches that are finished. A part that failed for good counts as finished.

        Store which batches you have finished. Do not derive it from records, because a batch may have none
        (`lake.batch_records`).
        """


def look_again(batch_ids: Sequence[int]) -> None:
    """Ask the pipeline to check soon whether batches have settled. If the message is lost, it checks some seconds later."""
    if batch_ids:
        wake.advance(sorted(batch_ids))


class WrongProcessor(Exception):
    """A processor of EVERMUSE_PROCESSORS that cannot be used. The message names it and the reason."""


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
        except Exception as error:  # somebody else's module may raise anything
            raise WrongProcessor(f"{path!r} cannot be loaded: {type(error).__name__}: {error}") from error
        if fault := _fault(processor, [one.name for one in found]):
            raise WrongProcessor(f"{path!r} {fault}")
        found.append(processor)
    return found


def check(**_: object) -> list[CheckMessage]:
    """Check that the processors can be used, for ``django.core.checks.register``."""
    try:
        load()
    except WrongProcessor as error:
        hint = (
            "Write module.Class, comma-separated. The app of a processor with tables must be in EVERMUSE_APPS. "
            "See /docs/extend.html for what a processor needs."
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
