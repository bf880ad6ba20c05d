"""Leases of claims: renewed while the worker lands, so that a slow landing is not taken for a dead worker.

A landing that hangs would block its process for ever. After `LONGEST_LANDING_SECONDS` the process ends itself.
"""

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence

from django.conf import settings
from django.db import DatabaseError, connection

from evermuse import heartbeat, logs, public_ids
from ingest.pipeline.claims import Claim, renew

log = logs.get(__name__)

LONGEST_LANDING_SECONDS = 300.0
LAST_RENEWAL_SECONDS = 5.0


@contextlib.contextmanager
def keeping(claims: Sequence[Claim]) -> Iterator[None]:
    """Renew the claims at each third of their lease while the block runs. Most landings end before the first renewal."""
    ended = threading.Event()
    thread = threading.Thread(target=_renew, args=(claims, ended), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        # A renewal that is under way may end first, but a database that hangs does not hold up the landing's end.
        thread.join(timeout=LAST_RENEWAL_SECONDS)


def _renew(claims: Sequence[Claim], ended: threading.Event) -> None:
    ends_at = time.monotonic() + LONGEST_LANDING_SECONDS
    batch_ids = [public_ids.of_batch(claim.batch_id) for claim in claims]
    while not ended.wait(settings.EVERMUSE_LEASE_SECONDS / 3):
        if time.monotonic() >= ends_at:
            log.error("landing.hangs", batch_ids=batch_ids)
            heartbeat.end_process()
            return
        try:
            renew(claims)
        except DatabaseError as error:
            log.warning("landing.lease_not_renewed", error=str(error).strip()[:200], batch_ids=batch_ids)
        finally:
            connection.close()
