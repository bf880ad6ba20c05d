"""Vendors' hosts: paused and resumed by an operator."""

from django.utils import timezone

from attachments import claims
from attachments.models import VendorHost
from evermuse import logs, wake

log = logs.get(__name__)

WAKE_UPS = 16


def pause(host: str) -> bool:
    """Begin no download from a host until `resume`; what is on its way goes on. False when it was paused already."""
    VendorHost.objects.get_or_create(host=host)
    paused = VendorHost.objects.filter(host=host, paused_at=None).update(paused_at=timezone.now()) == 1
    if paused:
        log.info("host.paused", host=host)
    return paused


def resume(host: str) -> bool:
    """Let downloads begin again, an open breaker closed too. False when there was nothing to resume."""
    stopped = VendorHost.objects.filter(host=host).exclude(paused_at=None, held_until=None, opened_at=None)
    resumed = stopped.update(paused_at=None, held_until=None, opened_at=None, failures=0) == 1
    if resumed:
        log.info("host.resumed", host=host)
        wake.downloads(claims.due(WAKE_UPS), at_most=WAKE_UPS)
    return resumed
