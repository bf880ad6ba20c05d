"""Wake-ups of the sweeper: few wait at a time, and none expires."""

import json
from collections.abc import Iterator

import pytest
import redis

from evermuse import broker_queues, wake
from evermuse.celery import ATTACHMENTS, LANDING, app
from tests.quiet_broker import broker, finish, wait_until

__all__ = ["broker"]


def test_sweeper_sends_one_wake_up_for_each_batch_and_none_expires(broker: "redis.Redis") -> None:
    wake.top_up(wake.LAND, [1, 2, 3])
    messages = [json.loads(text) for text in broker.lrange(LANDING, 0, -1)]
    assert [message["headers"]["expires"] for message in messages] == [None] * 3


def test_sweeper_adds_one_wake_up_while_as_many_messages_wait(broker: "redis.Redis") -> None:
    for _ in range(3):
        wake.top_up(wake.LAND, [1, 2, 3])
    assert broker.llen(LANDING) == 3 + 1 + 1


@pytest.fixture
def publisher(broker: "redis.Redis", monkeypatch: pytest.MonkeyPatch) -> Iterator[wake.Publisher]:
    """A web process that may have 5 messages waiting, and publishes without pauses."""
    for name, value in {"MAX_WAITING": 5, "COUNTED_EVERY": 1, "SPACING_SECONDS": 0, "PAUSE_SECONDS": 0.01}.items():
        monkeypatch.setattr(wake, name, value)
    publisher = wake.Publisher(wake.LAND)
    yield publisher
    # Its thread must not send anything during the next test.
    broker.delete(LANDING)
    finish(publisher.add, broker)


def add_and_wait(publisher: wake.Publisher, broker: "redis.Redis", numbers: range) -> None:
    """Add batches one after the other, so that each could have a message of its own."""
    for number in numbers:
        expected = min(broker.llen(LANDING) + 1, wake.MAX_WAITING)
        publisher.add(number)
        wait_until(lambda expected=expected: broker.llen(LANDING) >= expected)  # type: ignore[misc]


def test_accepted_batches_never_fill_the_queue_while_no_worker_reads_it(
    broker: "redis.Redis", publisher: wake.Publisher
) -> None:
    add_and_wait(publisher, broker, range(40))
    messages = [json.loads(text) for text in broker.lrange(LANDING, 0, -1)]
    assert [message["headers"]["expires"] for message in messages] == [None] * 5


def test_wake_up_that_found_the_queue_full_is_sent_as_soon_as_a_worker_reads(
    broker: "redis.Redis", publisher: wake.Publisher
) -> None:
    add_and_wait(publisher, broker, range(40))
    broker.delete(LANDING)
    wait_until(lambda: broker.llen(LANDING) == 1)


def test_downloads_wake_only_as_many_threads_as_messages_are_missing(broker: "redis.Redis") -> None:
    for times, waiting in ((4, 4), (16, 16), (16, 17), (3, 18), (1, 19)):
        wake.downloads(times, at_most=16)
        assert broker.llen(ATTACHMENTS) == waiting
    messages = [json.loads(text) for text in broker.lrange(ATTACHMENTS, 0, -1)]
    assert {message["headers"]["expires"] for message in messages} == {None}


def test_landings_never_fill_the_queue_of_downloads_while_no_worker_reads_it(
    broker: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake, "MAX_WAITING", 20)
    for _ in range(30):
        wake.workers(wake.DOWNLOAD, 16)
    assert broker.llen(ATTACHMENTS) == 20


def test_landings_of_one_file_each_never_fill_the_queue_of_downloads(
    broker: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wake, "MAX_WAITING", 20)
    for _ in range(20 * wake.COUNTED_EVERY):
        wake.downloads(1, at_most=16)
    assert 20 <= broker.llen(ATTACHMENTS) < 20 + wake.COUNTED_EVERY
    broker.delete(ATTACHMENTS)
    wake.downloads(1, at_most=16)
    assert broker.llen(ATTACHMENTS) == 1


def test_messages_of_another_task_do_not_keep_the_sweeper_from_waking_a_worker(broker: "redis.Redis") -> None:
    for _ in range(20):
        wake.publish(wake.ADVANCE, [1])
    wake.top_up(wake.LAND, [2, 3])
    tasks = [json.loads(text)["headers"]["task"] for text in broker.lrange(LANDING, 0, -1)]
    assert tasks.count(wake.LAND) == 1


def test_missing_queue_has_no_messages(broker: "redis.Redis") -> None:
    with app.connection_for_write() as connection:
        assert broker_queues.length(connection, LANDING) == 0
        assert broker_queues.length(connection, "no such queue") == 0


def test_sweeper_continues_while_the_broker_is_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with app.connection_for_write("redis://127.0.0.1:9/0") as away:
        monkeypatch.setattr(type(app), "connection_for_write", lambda self: away)
        wake.top_up(wake.LAND, [1])
    assert "wakeup.lost" in caplog.text


def test_no_periodic_task_expires_sooner_than_the_most_frequent_one() -> None:
    # On a worker that is behind, messages wait as long as those before them in the queue take to expire.
    entries = app.conf.beat_schedule.values()
    most_frequent = min(entries, key=lambda entry: entry["schedule"])
    assert all(entry["options"]["expires"] >= most_frequent["options"]["expires"] for entry in entries)
    assert all(entry["options"]["expires"] >= entry["schedule"] for entry in entries)


def test_settled_batches_wake_a_worker_without_expiry_until_many_messages_wait(
    broker: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"MAX_WAITING": 5, "COUNTED_EVERY": 1}.items():
        monkeypatch.setattr(wake, name, value)
    for number in range(20):
        wake.advance([number])
    messages = [json.loads(text) for text in broker.lrange(LANDING, 0, -1)]
    assert [message["headers"]["expires"] for message in messages] == [None] * 5
