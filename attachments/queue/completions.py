"""IN_PROGRESS → COMPLETE. Files that finish at the same time share one statement, and so one commit."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

from attachments import sql
from attachments.queue.together import Together
from evermuse import prepared


@dataclass(frozen=True, slots=True)
class Completion:
    """What `sql.COMPLETE` writes about a stored file, field by field. ``received``: bytes over the wire. ``is_new``: False for
    the object of another attachment, which must still be there."""

    id: int
    token: int
    uri: str
    size: int
    mime_type: str
    sha256: str
    sha1: str
    md5: str
    received: int
    http_status: int | None
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class Settled:
    """A row of `sql.COMPLETE`. ``uri``: of the object that is kept. ``is_last``: the batch has no other file left to do."""

    id: int
    uri: str
    is_last: bool


def complete(completion: Completion) -> Settled | None:
    """Complete one file, in one statement with those that other threads complete now. None: its claim was lost."""
    return _together.ask(completion)


def complete_all(completions: Sequence[Completion]) -> list[Settled | None]:
    """Complete the files whose claims still hold. Return the result for each file, None for a lost claim."""
    columns = {one.name: [getattr(completion, one.name) for completion in completions] for one in fields(Completion)}
    # Prepared, because planning the statement takes longer than running it.
    found = {settled.id: settled for settled in prepared.rows_of(Settled, sql.COMPLETE, columns)}
    return [found.get(completion.id) for completion in completions]


_together: Together[Completion, Settled | None] = Together(complete_all)
