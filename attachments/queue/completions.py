"""IN_PROGRESS → COMPLETE: files that end at the same time are settled by one statement, so by one commit."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

from attachments import sql
from attachments.queue.together import Together
from evermuse import prepared


@dataclass(frozen=True, slots=True)
class Completion:
    """What is to be written of a stored file; in the order of `sql.COMPLETE`. ``received``: bytes over the wire."""

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


@dataclass(frozen=True, slots=True)
class Settled:
    """``uri``: the one that counts. ``is_last``: nothing of the batch is left to do."""

    uri: str
    is_last: bool


def settle(completion: Completion) -> Settled | None:
    """Settle one file, in one statement with those of other threads that ask now. None: its claim was lost."""
    return _together.ask(completion)


def settle_all(completions: Sequence[Completion]) -> list[Settled | None]:
    """Settle files whose claims still hold, under their fences; what came of each."""
    columns: list[list[Any]] = [list(column) for column in zip(*map(astuple, completions), strict=True)]
    # Prepared: to plan it takes longer than to run it.
    found = {row[0]: Settled(str(row[1]), bool(row[2])) for row in prepared.rows(sql.COMPLETE, columns)}
    return [found.get(completion.id) for completion in completions]


_together: Together[Completion, Settled | None] = Together(settle_all)
