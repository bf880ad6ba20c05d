"""A worker that is behind does not discard every message of a sweeper."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery.utils.imports import symbol_by_name

from evermuse import late_messages
from evermuse.celery import app


@pytest.fixture(autouse=True)
def nothing_taken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(late_messages, "_taken_at", {})
    app.loader.import_default_modules()
    yield


def received(task: str, *, seconds_late: float) -> Any:
    """A message as a worker receives it, with Celery's own protocol."""
    message = app.amqp.as_task_v2(
        task_id=f"{task}-{seconds_late}", name=task, expires=datetime.now(UTC) - timedelta(seconds=seconds_late)
    )
    made = SimpleNamespace(headers=message.headers, properties={}, delivery_info={}, body=message.body)
    cls = symbol_by_name(app.tasks[task].Request)
    return cls(made, app=app, task=app.tasks[task], headers=message.headers, decoded=True)


def test_first_late_message_of_each_task_runs_and_the_others_are_discarded() -> None:
    for task in ("ingest.sweep", "attachments.sweep"):
        messages = [received(task, seconds_late=30 - n) for n in range(4)]
        # Celery asks twice about a message that runs.
        assert [bool(one.maybe_expire()) for one in messages] == [False, True, True, True]
        assert not messages[0].maybe_expire()


def test_late_message_runs_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not received("ingest.sweep", seconds_late=1).maybe_expire()
    monkeypatch.setattr(late_messages, "AT_LEAST_EVERY_SECONDS", 0.0)
    assert not received("ingest.sweep", seconds_late=2).maybe_expire()


def test_message_in_time_runs_always() -> None:
    messages = [received("ingest.sweep", seconds_late=-60 - n) for n in range(3)]
    assert not any(one.maybe_expire() for one in messages)
