"""The sweeper of downloads: takes lost claims back, clears up after broken attempts, and wakes workers."""

from django.conf import settings
from django.db.models import F, Q
from django.db.models.functions import Now

from attachments import removal, upload_clearing, workspace_names
from attachments.fetch import attempt_objects, store
from attachments.models import Attachment, DownloadAttempt, StoredFile
from attachments.queue import claims, crashes, lanes
from attachments.suspects import MAX_PROCESSES
from evermuse import logs, public_ids, wake
from evermuse.errors import StoreUnavailable
from lake import object_store
from lake.restore import marks

log = logs.get(__name__)

MAX_LEFTOVERS = 200


def sweep() -> None:
    """Run one round. Several sweepers may run at the same time."""
    lost, settled = claims.take_back()
    if lost:
        log.warning(
            "attachment.claims_taken_back",
            attachment_ids=[public_ids.of_attachment(i) for i in lost[:50]],
            count=len(lost),
        )
    if settled:
        wake.advance(sorted(settled))
    lanes.walk.go_on()
    lanes.refresh()
    wake.downloads(
        claims.count_due(settings.EVERMUSE_ATTACHMENT_CONCURRENCY), at_most=settings.EVERMUSE_ATTACHMENT_CONCURRENCY
    )
    for _ in range(crashes.count_suspects_due(MAX_PROCESSES)):
        wake.publish(wake.DOWNLOAD_ALONE, [])
    # In a restored database, rows of objects say what was true when the backup was taken.
    if marks.may_change_bucket():
        clear_leftovers()
        if cleared := upload_clearing.clear_expired():
            log.info("upload.cleared", count=cleared)
        upload_clearing.walk.step()
        removal.delete_objects()


def clear_leftovers() -> int:
    """Remove the uploads and objects of attempts that stored no file. Returns the number of attempts cleared."""
    # Parts that a worker keeps for a resumption are not leftovers.
    is_another = Q(attachment__kept_token=None) | ~Q(attachment__kept_token=F("token"))
    is_forgotten = ~Q(attachment__state=Attachment.State.IN_PROGRESS) & (
        Q(attachment__kept_until=None) | Q(attachment__kept_until__lte=Now())
    )
    ended = DownloadAttempt.objects.filter(is_another | is_forgotten, leftovers=True, finished_at__isnull=False)
    cleared = 0
    for attempt in ended.select_related("attachment").order_by("id")[:MAX_LEFTOVERS]:
        attachment = attempt.attachment
        prefix = attempt_objects.prefix(
            workspace=workspace_names.name_of(attachment.workspace_id),
            attachment=public_ids.of_attachment(attachment.pk),
            token=attempt.token,
        )
        try:
            attempt_objects.abort_uploads(prefix)
            for key in attempt_objects.keys(prefix):
                if not StoredFile.objects.filter(storage_uri=object_store.uri(key)).exists():
                    store.remove(key)
        except StoreUnavailable as error:
            log.warning("attachment.leftovers_wait", error=str(error)[:200])
            return cleared
        claims.mark_clean(attachment.pk, attempt.token)
        cleared += 1
    if cleared:
        log.info("attachment.leftovers_cleared", count=cleared)
    return cleared
