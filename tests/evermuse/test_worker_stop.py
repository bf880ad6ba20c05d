"""How long a stopping landing process waits for a parent that no longer reads results."""

from types import SimpleNamespace
from typing import Any

import billiard.pool
import pytest

from evermuse.celery import _end_promptly


def test_landing_process_waits_two_seconds_for_a_parent_that_reads_no_results(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(billiard.pool, "time", SimpleNamespace(sleep=waits.append))
    monkeypatch.setattr(billiard.pool, "GUARANTEE_MESSAGE_CONSUMPTION_RETRY_LIMIT", 300)
    _end_promptly()
    worker: Any = billiard.pool.Worker.__new__(billiard.pool.Worker)
    worker.on_ready_counter = SimpleNamespace(value=0)
    assert worker._ensure_messages_consumed(completed=1) is False
    assert sum(waits) == pytest.approx(2.0)
