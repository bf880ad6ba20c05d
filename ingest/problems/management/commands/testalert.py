"""``manage.py testalert``: sends a message that says nothing by every channel, and says what became of it."""

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from ingest.problems import alerts, delivery
from ingest.problems.models import Alert


class Command(BaseCommand):
    """Prints JSON ``{channel: "sent" or the error}``; fails when there is no channel or one did not take it."""

    help = "Send a test alert by webhook and e-mail, as far as they are set."

    def handle(self, *args: Any, **options: Any) -> None:
        ids = alerts.test()
        if not ids:
            raise CommandError("no channel is set: see EVERMUSE_ALERT_WEBHOOK_URL and EVERMUSE_ALERT_EMAILS")
        delivery.send_due()
        rows = Alert.objects.filter(id__in=ids).order_by("id")
        told = {row.get_channel_display(): "sent" if row.sent_at else row.last_error or "not yet" for row in rows}
        self.stdout.write(json.dumps(told))
        if failed := [f"{channel}: {text}" for channel, text in told.items() if text != "sent"]:
            raise CommandError("; ".join(failed))
