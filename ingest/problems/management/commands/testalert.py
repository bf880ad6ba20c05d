"""``manage.py testalert``: sends a test message to every channel and prints the results."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingest.problems import alerts, delivery
from ingest.problems.models import Alert


class Command(BaseCommand):
    """Prints JSON ``{channel: "sent" or the error}``. Fails without a channel, or if one did not take the message."""

    help = "Send a test alert to each configured channel."

    def handle(self, *args: Any, **options: Any) -> None:
        ids = alerts.test()
        if not ids:
            raise CommandError("no channel is configured: set EVERMUSE_ALERT_WEBHOOK_URL and EVERMUSE_ALERT_EMAILS")
        delivery.send_due()
        rows = Alert.objects.filter(id__in=ids).order_by("id")
        told = {row.get_channel_display(): "sent" if row.sent_at else row.last_error or "not yet" for row in rows}
        self.stdout.write(json.dumps(told))
        if failed := [f"{channel}: {text}" for channel, text in told.items() if text != "sent"]:
            raise CommandError("; ".join(failed))
