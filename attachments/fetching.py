"""Fetching one file: claim ▸ download ▸ check ▸ store ▸ settle. Expected outcomes are values; the fence guards the end."""

import random
import threading
import time

from django.conf import settings

from attachments import claims, content, download, storage
from attachments.claims import Claim, Stored, leases
from attachments.download import Answer
from attachments.failures import DownloadFailed, Failure, final
from attachments.storage import Measure, Upload
from attachments.watch import Transfer, watchdog
from evermuse import logs, public_ids, wake
from evermuse.errors import LeaseLost, StoreUnavailable

log = logs.get(__name__)

# Waits before the next attempt: 3 s, 6 s, 12 s …, each with up to half of it added or taken off.
FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS = 3.0, 60.0
MAX_RETRY_AFTER_SECONDS = 120.0
STORE_WAIT_SECONDS = 5.0
# A task goes on for this long while files wait, then makes room.
TASK_SECONDS = 20.0
# Enough of the beginning to tell an HTML page.
OPENING_BYTES = 1024

INTERRUPTED = Failure("INTERRUPTED", "the worker was told to stop", is_transient=True)

stopping = threading.Event()


def fetch_waiting() -> int:
    """Fetch files until none is due, for some seconds at most; how many."""
    fetched = 0
    ends_at = time.monotonic() + TASK_SECONDS
    while not stopping.is_set() and (claim := claims.take()):
        fetch_one(claim)
        fetched += 1
        if time.monotonic() >= ends_at:
            wake.publish(wake.DOWNLOAD, [])
            break
    return fetched


def stop() -> None:
    """The worker is told to end: give what is under way back, take nothing more."""
    stopping.set()
    leases.stop_all(INTERRUPTED)


def fetch_one(claim: Claim) -> None:
    """Bring a claimed file to COMPLETE, FAILED, or back to PENDING with the time of its next attempt."""
    seconds = settings.EVERMUSE_ATTACHMENT_DEADLINE_SECONDS
    with watchdog.watching(seconds=seconds) as transfer, leases.holding(claim, transfer):
        if stopping.is_set():
            transfer.stop(INTERRUPTED)
        try:
            is_settled = _attempt(claim, transfer)
        except LeaseLost:
            log.warning("attachment.lease_lost", attachment_id=public_ids.of_attachment(claim.id), token=claim.token)
            return
    if is_settled:
        wake.publish(wake.ADVANCE, [claim.batch_id])


def _attempt(claim: Claim, transfer: Transfer) -> bool:
    """One attempt with its settlement; whether the batch is settled."""
    try:
        stored, key = _fetch(claim, transfer)
    except DownloadFailed as failed:
        return _settle_failure(claim, transfer, transfer.stopped or failed.failure)
    except StoreUnavailable as error:
        failure = transfer.stopped or Failure("STORE_UNAVAILABLE", f"the object store: {error}", is_transient=True)
        log.warning("attachment.store_away", attachment_id=public_ids.of_attachment(claim.id), error=str(error)[:200])
        return claims.fail(
            claim, failure, received=transfer.bytes_read, wait=STORE_WAIT_SECONDS, is_counted=False, leftovers=True
        )
    uri, is_settled = claims.complete(claim, stored, received=transfer.bytes_read)
    log.info(
        "attachment.complete",
        attachment_id=public_ids.of_attachment(claim.id),
        batch_id=public_ids.of_batch(claim.batch_id),
        bytes=stored.size,
    )
    if uri != stored.uri:
        _clean_up(claim, key)
    return is_settled


def _settle_failure(claim: Claim, transfer: Transfer, failure: Failure) -> bool:
    received = transfer.bytes_read
    if failure is claims.LOST:
        raise LeaseLost(f"attachment {claim.id} under claim {claim.token}")
    if failure is INTERRUPTED:
        return claims.fail(claim, failure, received=received, wait=0.0, is_counted=False)
    wait = next_wait(claim, failure)
    log.info(
        "attachment.failed" if wait is None else "attachment.waits",
        attachment_id=public_ids.of_attachment(claim.id),
        batch_id=public_ids.of_batch(claim.batch_id),
        code=failure.code,
        attempt=claim.attempts,
        wait_seconds=None if wait is None else round(wait, 1),
    )
    return claims.fail(claim, failure, received=received, wait=wait)


def next_wait(claim: Claim, failure: Failure) -> float | None:
    """Seconds until the next attempt; None when there is none: a final reason, or attempts or time used up.

    ``Retry-After`` lengthens the wait, clamped to two minutes and to what is left of the window.
    """
    if not failure.is_transient or claim.attempts >= settings.EVERMUSE_ATTACHMENT_MAX_ATTEMPTS:
        return None
    left: float = settings.EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS - claim.window_seconds
    wait: float = min(FIRST_WAIT_SECONDS * 2 ** (claim.attempts - 1), LONGEST_WAIT_SECONDS) * random.uniform(0.5, 1.5)  # noqa: S311
    if wait > left:
        return None
    return min(max(wait, min(failure.retry_after or 0.0, MAX_RETRY_AFTER_SECONDS)), left)


def _fetch(claim: Claim, transfer: Transfer) -> tuple[Stored, str]:
    """Download, check and store. Raises DownloadFailed and StoreUnavailable; leaves no half object behind."""
    if claim.vendor_url and claim.upload_intent_id:
        raise final("INTENT_AND_URL", "an attachment names either vendor_url or upload_intent_id, not both")
    if claim.upload_intent_id:
        raise final("UNKNOWN_INTENT", "upload_intent_id: there is no such upload intent in this workspace")
    key = storage.attempt_key(
        workspace=claim.workspace, attachment=public_ids.of_attachment(claim.id), token=claim.token
    )
    with download.opened(claim.vendor_url, transfer) as answer:
        return _store(claim, transfer, answer, key), key


def _store(claim: Claim, transfer: Transfer, answer: Answer, key: str) -> Stored:
    limit = settings.EVERMUSE_ATTACHMENT_MAX_BYTES
    if answer.announced is not None and answer.announced > limit:
        raise final("TOO_LARGE", f"the server announces {answer.announced} bytes; at most {limit} are taken", 200)
    mime_type = content.stored_mime(
        declared=claim.declared_mime_type, answered=answer.mime_type, filename=claim.filename
    )
    measure = Measure()
    with Upload(key, mime_type) as upload:
        opening = b""
        for chunk in answer.chunks:
            measure.add(chunk)
            if measure.size > limit:
                raise final("TOO_LARGE", f"the file is larger than {limit} bytes", 200)
            if len(opening) < OPENING_BYTES:
                opening += chunk[:OPENING_BYTES]
            upload.write(chunk)
        content.check_promise(
            type=claim.type, declared_mime=claim.declared_mime_type, answered_mime=answer.mime_type, opening=opening
        )
        check_declared(claim, measure)
        if transfer.stopped:
            raise DownloadFailed(transfer.stopped)
        uri = upload.complete()
    return Stored(
        uri=uri,
        size=measure.size,
        mime_type=mime_type,
        sha256=measure.sha256.hexdigest(),
        sha1=measure.sha1.hexdigest(),
        md5=measure.md5.hexdigest(),
    )


def check_declared(claim: Claim, measure: Measure) -> None:
    """Raise (final) when the file is not the one that the record describes."""
    if claim.declared_size is not None and claim.declared_size != measure.size:
        raise final("SIZE_MISMATCH", f"size: {claim.declared_size} bytes were declared, {measure.size} came", 200)
    for name, declared, found in (
        ("sha1", claim.declared_sha1, measure.sha1),
        ("md5", claim.declared_md5, measure.md5),
    ):
        if declared and declared.strip().lower() != found.hexdigest():
            raise final(
                f"{name.upper()}_MISMATCH", f"{name}: the file's is {found.hexdigest()}, another was declared", 200
            )


def _clean_up(claim: Claim, key: str) -> None:
    """The workspace held the same content already: this copy goes. What fails here is the sweeper's."""
    try:
        storage.remove(key)
        claims.mark_clean(claim.id, claim.token)
    except StoreUnavailable as error:
        log.warning("attachment.copy_left", attachment_id=public_ids.of_attachment(claim.id), error=str(error)[:200])


def retry_failed(batch_id: int) -> int:
    """Set a batch's failed files going again; how many. A COMPLETE batch stays COMPLETE."""
    again = claims.retry_failed(batch_id)
    if again:
        log.info("attachment.retried", batch_id=public_ids.of_batch(batch_id), files=again)
        wake.downloads(again, at_most=settings.EVERMUSE_ATTACHMENT_CONCURRENCY)
    return again
