"""Interrupted downloads: a process keeps the hashes, and the parts that are in the store, until the next attempt.

The state of a hash cannot leave the process, so only the worker that kept a download can resume it. Any other worker
starts again. The row says whose parts are kept (``kept_token``) and until when (``kept_until``, renewed here). After
that the sweeper aborts them. Sources: RFC 9110, sections 8.8.3 (strong validators), 13.1.5 (If-Range), 14.4
(Content-Range).
"""

import threading
import time
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection

from attachments import sql
from attachments.fetch.download import ResumePoint
from attachments.fetch.upload import Upload
from attachments.queue.claims import DownloadClaim
from evermuse import logs

log = logs.get(__name__)

# Each kept download holds up to one part in memory. Beyond this number the oldest is dropped.
MAX_KEPT = 16


@dataclass(eq=False, slots=True)
class Partial:
    """A download in progress: its upload, and the validators that prove that more bytes belong to the same file.

    ``token``: the attempt whose key the object has.
    """

    upload: Upload
    token: int
    opening: bytes = b""
    answered_mime: str = ""
    etag: str = ""
    total: int | None = None

    @property
    def place(self) -> ResumePoint | None:
        """Where another request may continue, or None if nothing can prove that the file is the same."""
        if not self.etag or self.total is None or not 0 < self.upload.size < self.total:
            return None
        return ResumePoint(self.etag, self.upload.size, self.total)


class Keeper:
    """The interrupted downloads of this process."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, int], Partial] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def keep(self, claim: DownloadClaim, partial: Partial) -> None:
        """Keep a download whose claim was settled with its ``kept_token``."""
        with self._lock:
            self._kept[claim.id, partial.token] = partial
            surplus = [self._kept.pop(key) for key in list(self._kept)[:-MAX_KEPT]]
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="kept downloads", daemon=True)
                self._thread.start()
        for one in surplus:
            one.upload.abandon()

    def take(self, claim: DownloadClaim) -> Partial | None:
        """Return what an earlier attempt of this process kept for the claim, or None."""
        if claim.kept_token is None:
            return None
        with self._lock:
            return self._kept.pop((claim.id, claim.kept_token), None)

    def _run(self) -> None:
        while True:
            time.sleep(settings.EVERMUSE_LEASE_SECONDS / 3)
            with self._lock:
                keys = list(self._kept)
            if keys:
                self._renew(keys)

    def _renew(self, keys: list[tuple[int, int]]) -> None:
        """Renew the downloads that may still be resumed, and drop the others."""
        try:
            with connection.cursor() as cursor:
                parameters: dict[str, Any] = {
                    "ids": [key[0] for key in keys],
                    "tokens": [key[1] for key in keys],
                    "lease": settings.EVERMUSE_LEASE_SECONDS,
                }
                cursor.execute(sql.KEEP, parameters)
                wanted = {row[0] for row in cursor.fetchall()}
        except DatabaseError as error:
            log.warning("attachment.kept_not_renewed", error=str(error).strip()[:200])
            return
        finally:
            connection.close()
        with self._lock:
            gone = [self._kept.pop(key) for key in keys if key[0] not in wanted and key in self._kept]
        for partial in gone:
            partial.upload.abandon()


keeper = Keeper()
