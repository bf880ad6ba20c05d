"""Vendors' hosts, which an operator can pause and resume for all workspaces."""

from django.db import connection, transaction
from django.utils import timezone

from attachments import sql
from attachments.models import VendorHost
from attachments.queue import claims
from evermuse import logs, wake

log = logs.get(__name__)

WAKE_UPS = 16


@transaction.atomic
def pause(host: str) -> bool:
    """Start no download from a host until `resume`. Running downloads continue. False if it was paused already."""
    VendorHost.objects.get_or_create(host=host)
    paused = VendorHost.objects.filter(host=host, paused_at=None).update(paused_at=timezone.now()) == 1
    if paused:
        _tell(host)
        log.info("host.paused", host=host)
    return paused


def resume(host: str) -> bool:
    """End an operator's pause, and close the host's breakers. False if there was nothing to resume."""
    with transaction.atomic():
        resumed = VendorHost.objects.filter(host=host).exclude(paused_at=None).update(paused_at=None) == 1
        if resumed:
            _tell(host)
        resumed = release(host) > 0 or resumed
    if resumed:
        log.info("host.resumed", host=host)
        wake.downloads(claims.count_due(WAKE_UPS), at_most=WAKE_UPS)
    return resumed


def release(host: str, workspace: int | None = None) -> int:
    """End the breakers and pauses of a host's lanes, in all workspaces or in one, but not an operator's pause. Returns how many
    lanes.
    """
    with connection.cursor() as cursor:
        cursor.execute(sql.RELEASE, {"host": host, "workspace": workspace})
        return int(cursor.fetchone()[0])


def _tell(host: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.TELL_HOST, [host])
