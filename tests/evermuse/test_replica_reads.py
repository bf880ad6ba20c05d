"""Reads of the standby are counted over all web processes."""

import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import redis
from django.conf import settings

from deploy.local.embedded import Servers
from deploy.local.state import free_port
from evermuse import replica_reads
from evermuse.replica_reads import KEY, PRIMARY, STANDBY, ReadCounts
from tests.journeys.stack import until

# A web process that answers reads and ends.
PROCESS = """
import os, sys
os.environ["DJANGO_SETTINGS_MODULE"] = "evermuse.settings"
from evermuse.replica_reads import counts
for _ in range(int(sys.argv[1])):
    counts.add("replica")
for _ in range(int(sys.argv[2])):
    counts.add("primary")
"""


@pytest.fixture
def server(servers: Servers) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        replica_reads.counts.send()  # what earlier tests of this process have read
        client.delete(KEY)
        yield client
        client.delete(KEY)


def test_reads_of_all_processes_are_added_up(server: "redis.Redis") -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", PROCESS, str(standby), str(primary)])
        for standby, primary in ((1000, 30), (500, 0), (0, 7))
    ]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    mine = ReadCounts()
    mine.add(PRIMARY)
    assert mine.totals() == {STANDBY: 1500, PRIMARY: 38}
    assert mine.totals() == {STANDBY: 1500, PRIMARY: 38}


def test_reads_of_a_process_that_nobody_scrapes_are_sent_after_some_seconds(
    server: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("evermuse.replica_reads.SEND_SECONDS", 0.05)
    ReadCounts().add(STANDBY)
    until(lambda: server.hget(KEY, STANDBY) == b"1", "the read is counted in Redis")


def test_totals_wait_for_reads_that_are_on_their_way(server: "redis.Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    counts = ReadCounts()
    counts.add(STANDBY)
    found: list[dict[str, int] | None] = []
    reader = threading.Thread(target=lambda: found.append(counts.totals()))
    pipeline = counts._redis.pipeline

    def while_it_is_read(*, transaction: bool) -> object:
        reader.start()
        reader.join(0.2)
        return pipeline(transaction=transaction)

    monkeypatch.setattr(counts._redis, "pipeline", while_it_is_read)
    counts.send()
    reader.join()
    assert found == [{STANDBY: 1, PRIMARY: 0}]


def test_reads_are_kept_while_redis_does_not_answer(server: "redis.Redis", monkeypatch: pytest.MonkeyPatch) -> None:
    counts = ReadCounts()
    away = redis.Redis.from_url(f"redis://127.0.0.1:{free_port()}", retry=None)
    with monkeypatch.context() as patched:
        patched.setattr(counts, "_redis", away)
        counts.add(STANDBY)
        counts.add(PRIMARY)
        assert counts.totals() is None
        counts.add(PRIMARY)
    assert counts.totals() == {STANDBY: 1, PRIMARY: 2}
