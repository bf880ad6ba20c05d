"""A starting worker replaces the messages that piled up while no worker ran by the periodic tasks."""

import pytest
import redis

from evermuse import stale_messages, wake
from evermuse.celery import ATTACHMENTS, LANDING, MAINTENANCE, app
from tests.quiet_broker import broker

__all__ = ["broker"]


def lengths(broker: "redis.Redis") -> dict[str, int]:
    return {name: int(broker.llen(name)) for name in (LANDING, MAINTENANCE, ATTACHMENTS)}


def pile_up() -> None:
    for _ in range(50):
        app.send_task(wake.LAND, args=[[]], expires=-1, ignore_result=True)
        app.send_task("ingest.sweep", expires=-1, ignore_result=True)
        app.send_task(wake.DOWNLOAD, expires=-1, ignore_result=True)


def test_starting_worker_replaces_stale_messages_of_its_queues_by_periodic_tasks(broker: "redis.Redis") -> None:
    pile_up()
    stale_messages.replace(app, [LANDING, MAINTENANCE])
    periodic = [entry for entry in app.conf.beat_schedule.values() if entry["options"]["queue"] == MAINTENANCE]
    assert len(periodic) >= 4
    assert lengths(broker) == {LANDING: 0, MAINTENANCE: len(periodic), ATTACHMENTS: 50}


def test_starting_worker_keeps_messages_that_no_periodic_task_makes_good(broker: "redis.Redis") -> None:
    pile_up()
    stale_messages.replace(app, [ATTACHMENTS])
    assert lengths(broker) == {LANDING: 50, MAINTENANCE: 50, ATTACHMENTS: 50}


def test_worker_starts_while_its_broker_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with app.connection_for_write("redis://127.0.0.1:9/0") as away:
        monkeypatch.setattr(type(app), "connection_for_write", lambda self: away)
        stale_messages.replace(app, [LANDING, MAINTENANCE])
    assert "worker.queues_not_emptied" in caplog.text
