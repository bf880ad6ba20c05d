"""What operators do with a batch in the admin: retry and reprocess, with entries in the audit log."""

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest

from attachments import fetching
from evermuse import audit, wake
from evermuse.errors import ArchiveDamaged, StoreUnavailable
from evermuse.roles import may_act
from ingest.models import Batch
from ingest.pipeline import detail, processing, reprocessing, transitions


def allow(request: HttpRequest) -> None:
    """Raises PermissionDenied for users who may only look."""
    if not may_act(request):
        raise PermissionDenied


def retry(request: HttpRequest, batch: Batch) -> bool:
    """Like `POST …/retry` of the API, but also writes the audit log. Returns whether anything changed."""
    with transaction.atomic():
        is_reopened = transitions.reopen(batch.pk)
        if is_reopened:
            audit.record(request, batch, "Retried")
    if is_reopened:
        wake.landing(batch.pk)
        return True
    files, waiting = fetching.retry_failed(batch.pk), processing.retry(batch.pk)
    if files or waiting:
        audit.record(request, batch, "Retried", files=files, processors=waiting)
    return files + waiting > 0


def why_unchanged(batch: Batch) -> str:
    """Why a retry changed nothing, as a sentence."""
    if batch.status == Batch.Status.FAILED and detail.payload_has_expired(batch.pk):
        return "The payload of this batch has expired, so it cannot be landed again: nothing was changed."
    return "Nothing in this batch has failed: nothing was changed."


def reprocess(request: HttpRequest, batch: Batch) -> None:
    """Reprocess within the request, so that the page shows the result. One object of a few megabytes, with bounded waits."""
    audit.record(request, batch, "Reprocessed from the archive")
    try:
        result = reprocessing.reprocess(batch.pk)
    except ArchiveDamaged as error:
        messages.error(request, f"Nothing was changed: {error}.")
    except StoreUnavailable:
        messages.error(request, "Nothing was changed: the object store does not answer. Try again later.")
    else:
        done = f"{result.checked:,} records of the archive object agree with the payload"
        messages.success(request, f"{done}; rows of the index restored: {result.restored:,}.")
