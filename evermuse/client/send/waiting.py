"""`--wait`: waits until every batch of a run is settled, including its files."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from evermuse.client.answers import Batch
from evermuse.client.blocking import Client

POLL_SECONDS = 1.0


@dataclass(slots=True)
class Settled:
    """The results of the batches."""

    complete: int = 0
    failed: list[str] = field(default_factory=list)
    failed_files: int = 0
    with_failed_files: list[str] = field(default_factory=list)
    # Records that the answer accepted and the landing rejected.
    late_rejections: dict[str, int] = field(default_factory=dict)

    @property
    def is_sound(self) -> bool:
        """Whether nothing failed."""
        return not (self.failed or self.failed_files or self.late_rejections)


def wait(client: Client, batches: Mapping[str, int], show: Callable[[int, int], None]) -> Settled:
    """Follow the batches. ``batches``: the rejected count of each, from its answer.

    Reads the list of batches, because one request covers a hundred. ``show`` gets the number settled and the total.
    """
    found = Settled()
    open = dict(batches)
    while open:
        oldest = min(open)
        for page in client.batches(limit=100).pages():
            for batch in page.rows:
                if batch.is_settled and batch.batch_id in open:
                    _count(found, batch, open.pop(batch.batch_id))
            if not page.rows or page.rows[-1].batch_id <= oldest or not open:
                break
        show(len(batches) - len(open), len(batches))
        if open:
            time.sleep(POLL_SECONDS)
    return found


def _count(found: Settled, batch: Batch, rejected: int) -> None:
    if batch.attachment_download_failed:
        found.failed_files += batch.attachment_download_failed
        found.with_failed_files.append(batch.batch_id)
    if batch.status == "COMPLETE":
        found.complete += 1
    elif batch.rejected_count == 0 or batch.accepted_count:
        found.failed.append(batch.batch_id)
    if batch.rejected_count > rejected:
        found.late_rejections[batch.batch_id] = batch.rejected_count - rejected
