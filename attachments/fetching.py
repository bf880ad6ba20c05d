"""Fetches one file: claim ▸ download ▸ check ▸ store ▸ settle. Expected failures are values; the fence protects the
result.
"""

import dataclasses
import threading
import time

from django.conf import settings
from django.db import DatabaseError, connection
from structlog import contextvars

from attachments import upload_clearing
from attachments.download_failures import DownloadFailed, DownloadFailure
from attachments.fetch import dial, store
from attachments.fetch.url_policy import host_of
from attachments.fetch.watch import Transfer, watchdog
from attachments.models import Attachment
from attachments.queue import claim_leases, claims, crashes, registration, yielding
from attachments.queue.claim_leases import leases
from attachments.queue.claims import DownloadClaim, Stored
from attachments.queue.slots import Slots
from attachments.transfer import Fetch
from evermuse import heartbeat, logs, public_ids, retry_policy, wake
from evermuse.errors import LeaseLost, StoreUnavailable
from lake import object_store

log = logs.get(__name__)

# A thread stops fetching after this long, so that other workspaces get its slot.
TASK_SECONDS = 20.0

# The time that the other downloads of a hung process get to give their files back.
GIVE_BACK_SECONDS = 10.0

INTERRUPTED = DownloadFailure("INTERRUPTED", "the worker was stopped", is_transient=True)

stopping = threading.Event()


def fetch_waiting() -> int:
    """Fetch files until none is due, for `TASK_SECONDS` at most. Return how many were fetched."""
    fetched = 0
    ends_at = time.monotonic() + TASK_SECONDS
    with dial.keeping_connections() as connections:
        while not stopping.is_set() and (claim := claims.take()):
            connections.serve(claim.workspace_id)
            fetch_one(claim)
            fetched += 1
            if time.monotonic() >= ends_at:
                wake.publish(wake.DOWNLOAD, [])
                break
    return fetched


def stop() -> None:
    """Release the files of all downloads, and claim no more. Called when the worker is asked to stop."""
    stopping.set()
    leases.stop_all(INTERRUPTED)


slots = Slots(fetch_waiting)


def _end_hung_process() -> None:
    """End the process because a download still runs long after it was stopped. The other files are released first."""
    log.error("attachment.hangs")
    stop()
    time.sleep(GIVE_BACK_SECONDS)
    heartbeat.end_process()


watchdog.on_hang = _end_hung_process


def fetch_one(claim: DownloadClaim) -> None:
    """Bring a claimed file to COMPLETE, FAILED, or back to PENDING with the time of its next attempt.

    Every log event until then has the ids of the file and its batch.
    """
    ids = {"attachment_id": public_ids.of_attachment(claim.id), "batch_id": public_ids.of_batch(claim.batch_id)}
    with contextvars.bound_contextvars(**ids):
        _fetch_one(claim)


def _fetch_one(claim: DownloadClaim) -> None:
    seconds = settings.EVERMUSE_ATTACHMENT_DEADLINE_SECONDS
    with watchdog.watching(seconds=seconds) as transfer, leases.holding(claim, transfer), slots.using(claim, transfer):
        if stopping.is_set():
            transfer.stop(INTERRUPTED)
        try:
            is_settled = _attempt(claim, transfer)
        except LeaseLost:
            log.warning("attachment.lease_lost", token=claim.token)
            return
        except DatabaseError:
            raise
        except Exception as error:
            log.exception("attachment.failed_unexpectedly")
            why = "out of memory" if isinstance(error, MemoryError) else f"an unexpected {type(error).__name__}"
            is_settled = crashes.blame(claim, f"the download ended with {why}")
    if is_settled:
        wake.advance([claim.batch_id])


def _attempt(claim: DownloadClaim, transfer: Transfer) -> bool:
    """Make one attempt and settle it. Return whether the batch has nothing left to do."""
    fetch = Fetch(claim, transfer)
    try:
        stored = _run(fetch)
    except DownloadFailed as failed:
        return _settle_failure(fetch, transfer.stopped or failed.failure)
    except StoreUnavailable as error:
        failure = transfer.stopped or DownloadFailure(
            "STORE_UNAVAILABLE", f"the object store: {error}", is_transient=True
        )
        log.warning("attachment.store_away", error=str(error)[:200])
        wait = retry_policy.DOWNLOAD_STORE.backoff(claim.attempts)
        return claims.fail(claim, failure, received=transfer.bytes_read, wait=wait, is_counted=False, leftovers=True)
    finally:
        fetch.close()
    uri, is_settled = claims.complete(
        claim, stored, received=transfer.bytes_read, http_status=fetch.http_status or None
    )
    log.info("attachment.complete", bytes=stored.size)
    if claim.upload_intent_id:
        upload_clearing.clear(claim.upload_intent_id, claim.workspace)
    if uri != stored.uri:
        _clean_up(claim, stored.uri)
    return is_settled


def _run(fetch: Fetch) -> Stored:
    try:
        return fetch.run()
    finally:
        if fetch.transfer.has_left and not connection.in_atomic_block and not connection.is_usable():
            connection.close()  # a slow transfer left the connection idle for long


def _settle_failure(fetch: Fetch, failure: DownloadFailure) -> bool:
    claim, received = fetch.claim, fetch.transfer.bytes_read
    if failure is claim_leases.LOST:
        raise LeaseLost(f"attachment {claim.id} under claim {claim.token}")
    # A response that broke off still had a status.
    told = dataclasses.replace(failure, http_status=failure.http_status or fetch.http_status or None)
    if failure is INTERRUPTED:
        return claims.fail(claim, told, received=received, wait=0.0, is_counted=False)
    if failure is yielding.YIELDED:
        return _give_way(fetch, told)
    wait = next_wait(claim, failure)
    kept_token = None if wait is None else fetch.resumable_token
    log.info(
        "attachment.failed" if wait is None else "attachment.waits",
        code=failure.code,
        attempt=claim.attempts,
        wait_seconds=None if wait is None else round(wait, 1),
    )
    is_settled = claims.fail(claim, told, received=received, wait=wait, kept_token=kept_token)
    if kept_token is not None:
        fetch.keep()
    return is_settled


def _give_way(fetch: Fetch, failure: DownloadFailure) -> bool:
    """Put a slow file back, without counting the attempt. What has arrived is kept if it can be continued."""
    log.info("attachment.yields", bytes=fetch.transfer.bytes_read)
    kept_token, received = fetch.resumable_token, fetch.transfer.bytes_read
    is_settled = claims.fail(
        fetch.claim,
        failure,
        received=received,
        wait=yielding.WAIT_SECONDS,
        is_counted=False,
        is_host_slow=True,
        kept_token=kept_token,
    )
    if kept_token is not None:
        fetch.keep()
    return is_settled


def next_wait(claim: DownloadClaim, failure: DownloadFailure) -> float | None:
    """Seconds until the next attempt, or None if there is none: the failure is final, or attempts or time are used up.

    ``Retry-After`` lengthens the wait within the policy's limits (`evermuse.retry_policy`).
    """
    if not failure.is_transient:
        return None
    policy = retry_policy.downloads()
    return policy.wait(claim.attempts, asked=failure.retry_after or 0.0, elapsed=claim.window_seconds)


def _clean_up(claim: DownloadClaim, uri: str) -> None:
    """Remove this copy, because the workspace had the same content already. If that fails, the sweeper does it later."""
    try:
        store.remove(object_store.key_of(uri))
        claims.mark_clean(claim.id, claim.token)
    except StoreUnavailable as error:
        log.warning("attachment.copy_left", error=str(error)[:200])


def replace_url(batch_id: int, attachment_id: int, url: str) -> bool:
    """Give an attachment a fresh URL and start its download again. False if the batch has no such attachment. A stored
    file stays.
    """
    found = Attachment.objects.filter(batch_id=batch_id, pk=attachment_id).first()
    if found is None:
        return False
    origin = registration.origin_of(
        found.record_id, url, found.declared_size, found.declared_sha1 or None, found.declared_md5 or None
    )
    if claims.set_url(attachment_id, url=url, host=host_of(url), origin=origin):
        log.info(
            "attachment.url_replaced",
            attachment_id=public_ids.of_attachment(attachment_id),
            batch_id=public_ids.of_batch(batch_id),
        )
        wake.downloads(1, at_most=1)
    return True


def retry_failed(batch_id: int) -> int:
    """Retry the batch's failed files, and return how many there are. A COMPLETE batch stays COMPLETE."""
    again = claims.retry_batch(batch_id)
    if again:
        log.info("attachment.retried", batch_id=public_ids.of_batch(batch_id), files=again)
        wake.downloads(again, at_most=settings.EVERMUSE_ATTACHMENT_CONCURRENCY)
    return again
