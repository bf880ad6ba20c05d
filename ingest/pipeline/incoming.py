"""What landing reads of claimed batches: the compressed body and the facts that the archive and the index need."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from evermuse import prepared, public_ids
from ingest import sql
from ingest.pipeline.claims import Claim
from lake import frames


@dataclass(frozen=True, slots=True)
class Incoming:
    """A claimed batch and its body, compressed in `frames`. ``workspace`` is a name, ``size`` the body's bytes."""

    id: int
    workspace_id: int
    workspace: str
    source: str
    accepted_at: datetime
    media_type: str
    size: int
    frames: list[int]
    content: bytes

    def body(self) -> bytes:
        """The body as it was sent. Each call decompresses it."""
        return frames.unpack(self.content, self.frames, self.size)

    @property
    def public_id(self) -> str:
        """The ``batchId`` of the API."""
        return public_ids.of_batch(self.id)


def read(claims: Sequence[Claim]) -> dict[int, Incoming]:
    """Claimed batches by id. A batch whose payload is missing is left out."""
    parameters = {"ids": [claim.batch_id for claim in claims]}
    return {batch.id: batch for batch in prepared.rows_of(Incoming, sql.INCOMING, parameters, binary=True)}
