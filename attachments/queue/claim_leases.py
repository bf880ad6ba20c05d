"""Leases on claimed files: a thread of the process renews them, and stops a transfer whose claim was lost."""

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection

from attachments import sql
from attachments.download_failures import DownloadFailure
from attachments.fetch.watch import Transfer
from attachments.queue.claims import DownloadClaim
from evermuse import logs

log = logs.get(__name__)

LOST = DownloadFailure("LEASE_LOST", "another worker has taken over", is_transient=True)


class Leases:
    """Renews the leases of this process."""

    def __init__(self) -> None:
        self._held: dict[DownloadClaim, tuple[Transfer, float]] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def holding(self, claim: DownloadClaim, transfer: Transfer) -> Iterator[None]:
        """Renew the claim's lease while the block runs."""
        with self._lock:
            self._held[claim] = (transfer, time.monotonic())
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._held.pop(claim, None)

    def stop_all(self, failure: DownloadFailure) -> None:
        """Stop every transfer of the process."""
        with self._lock:
            transfers = [transfer for transfer, _ in self._held.values()]
        for transfer in transfers:
            transfer.stop(failure)

    def _run(self) -> None:
        while True:
            time.sleep(settings.EVERMUSE_LEASE_SECONDS / 3)
            with self._lock:
                held = dict(self._held)
            if held:
                self._renew(held)

    def _renew(self, held: dict[DownloadClaim, tuple[Transfer, float]]) -> None:
        asked_at = time.monotonic()
        try:
            with connection.cursor() as cursor:
                parameters: dict[str, Any] = {
                    "ids": [claim.id for claim in held],
                    "tokens": [claim.token for claim in held],
                    "lease": settings.EVERMUSE_LEASE_SECONDS,
                }
                cursor.execute(sql.RENEW, parameters)
                kept = {row[0] for row in cursor.fetchall()}
        except DatabaseError as error:
            log.warning("attachment.lease_not_renewed", error=str(error).strip()[:200], claims=len(held))
            # Another worker may hold the claim once its lease has run out. Stop before the fence has to.
            kept = {c.id for c, (_, at) in held.items() if asked_at - at < settings.EVERMUSE_LEASE_SECONDS}
        else:
            with self._lock:
                for claim in held:
                    if claim in self._held:
                        self._held[claim] = (held[claim][0], asked_at)
        connection.close()
        for claim, (transfer, _) in held.items():
            if claim.id not in kept:
                transfer.stop(LOST)


leases = Leases()
