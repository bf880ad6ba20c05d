"""The sweeper keeps to the wait that the retry policy sets between two downloads."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from attachments import fetching
from attachments.models import Attachment
from attachments.queue import claims, sweeper
from evermuse import retry_policy
from tests.attachments.journey import file, send
from tests.attachments.vendor import Vendor
from tests.http_client import ApiClient

AN_HOUR = 3600.0


def test_sweeper_does_not_shorten_a_long_wait_between_downloads(
    api: ApiClient, vendor: Vendor, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.EVERMUSE_ATTACHMENT_RETRY_WINDOW_SECONDS = 4 * 3600
    monkeypatch.setattr(
        retry_policy, "_DOWNLOADS", replace(retry_policy._DOWNLOADS, first=AN_HOUR, longest=AN_HOUR, jitter=0.0)
    )
    send(api, file(vendor.on("/busy", lambda x: x.answer(b"later", status="503 Busy"))))
    fetching.fetch_waiting()
    sweeper.sweep()
    assert Attachment.objects.get().next_attempt_at > timezone.now() + timedelta(minutes=59)  # type: ignore[operator]
    assert claims.count_due(8) == 0


def test_download_scheduled_beyond_the_longest_wait_becomes_due_now(api: ApiClient, vendor: Vendor) -> None:
    send(api, file(vendor.on("/x", lambda x: x.answer(b"x"))))
    Attachment.objects.update(next_attempt_at=timezone.now() + timedelta(days=300))
    sweeper.sweep()
    assert claims.count_due(8) == 1
