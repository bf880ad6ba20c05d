"""Vendors' hosts: paused and resumed by an operator, for all workspaces."""

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
    """Begin no download from a host until `resume`; what is on its way goes on. False when it was paused already."""
    VendorHost.objects.get_or_create(host=host)
    paused = VendorHost.objects.filter(host=host, paused_at=None).update(paused_at=timezone.now()) == 1
    if paused:
        _tell(host)
        log.info("host.paused", host=host)
    return paused


def resume(host: str) -> bool:
    """Let downloads begin again, open breakers closed too. False when there was nothing to resume."""
    with transaction.atomic():
        resumed = VendorHost.objects.filter(host=host).exclude(paused_at=None).update(paused_at=None) == 1
        if resumed:
            _tell(host)
        resumed = release(host) > 0 or resumed
    if resumed:
        log.info("host.resumed", host=host)
        wake.downloads(claims.due(WAKE_UPS), at_most=WAKE_UPS)
    return resumed


def release(host: str, workspace: int | None = None) -> int:
    """End what holds a host's lanes, of all workspaces or of one, but for an operator's pause; how many were held."""
    with connection.cursor() as cursor:
        cursor.execute(sql.RELEASE, {"host": host, "workspace": workspace})
        return int(cursor.fetchone()[0])


def _tell(host: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.TELL_HOST, [host])
