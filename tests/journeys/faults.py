"""Faults by name. Each is a context manager that breaks something at its start and heals it at its end."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import psycopg

from lake import payload_partitions
from tests.journeys import journals, proxy
from tests.journeys.stack import BEAT_2, LEASE_SECONDS, Stack, until
from tests.parts import chosen
from tests.records import record

Fault = Callable[[Stack], AbstractContextManager[None]]

FAULTS: dict[str, Fault] = {}


def _fault(name: str) -> Callable[[Callable[[Stack], Iterator[None]]], None]:
    def note(body: Callable[[Stack], Iterator[None]]) -> None:
        FAULTS[name] = contextmanager(body)

    return note


def _once(name: str, action: Callable[[Stack], object]) -> None:
    @_fault(name)
    def body(stack: Stack) -> Iterator[None]:
        action(stack)
        yield


for _process in ("web", "worker-landing", "worker-attachments", "beat"):
    _once(f"{_process}: kill -9", lambda stack, name=_process: stack.kill(name))  # type: ignore[misc]
    _once(f"{_process}: SIGTERM under load", lambda stack, name=_process: _restart(stack, name))  # type: ignore[misc]

    @_fault(f"{_process}: stopped past its lease")
    def _(stack: Stack, name: str = _process) -> Iterator[None]:
        with stack.frozen(name):
            time.sleep(LEASE_SECONDS + 1)
            yield


def _restart(stack: Stack, name: str) -> None:
    stack.stop(name)
    stack.start(name)


for _process in ("web", "worker-landing"):
    _once(f"{_process}: kill -9 of its children alone", lambda stack, name=_process: stack.kill_children(name))  # type: ignore[misc]

POINTS = {
    "after the take, before the claim": ("ingest_batch", "EXCLUSIVE"),
    "after the archive, before the index": ("lake_record", "EXCLUSIVE"),
    "after the index, before the state": ("lake_batchoutcomes", "EXCLUSIVE"),
    "after the state, before the ack": ("attachments_attachmenttally", "ACCESS EXCLUSIVE"),
}
for _point, (_table, _mode) in POINTS.items():

    @_fault(f"worker-landing: kill -9 {_point}")
    def _(stack: Stack, table: str = _table, mode: str = _mode) -> Iterator[None]:
        with stack.table_locked(table, mode):
            until(lambda: stack.waits_for_lock(table), f"a worker waits for {table}")
            stack.kill("worker-landing")
        yield


@_fault("worker-landing: overtaken, then wakes up before the index")
def _(stack: Stack) -> Iterator[None]:
    with stack.table_locked("lake_record"):
        until(lambda: stack.waits_for_lock("lake_record"), "a worker waits before the index")
        time.sleep(LEASE_SECONDS + 1)
    yield


@_fault("worker-landing: kill -9 between the intended and the written segment")
def _(stack: Stack) -> Iterator[None]:
    stack.store_proxy.switch(proxy.SILENT)
    intended = "SELECT count(*) > 0 FROM lake_segment WHERE state = 'I' AND created_at > now() - interval '5 s'"
    until(lambda: stack.rows(intended) == [(True,)], "a worker writes a segment")
    stack.kill("worker-landing")
    stack.store_proxy.switch(proxy.PASS)
    yield


@_fault("compaction: kill -9 while it writes, again and again")
def _(stack: Stack) -> Iterator[None]:
    for number in range(3):
        running = stack.manage_later("compactsegments", "--include-today")
        # A compaction merges from before its first read until after its last write.
        _until_it_merges(stack, running)
        time.sleep(0.02 * number)
        running.kill()
        running.wait()
    yield


@_fault("compaction: kill -9 between the written segment and the pointers")
def _(stack: Stack) -> Iterator[None]:
    running = stack.manage_later("compactsegments", "--include-today")
    _until_it_merges(stack, running)
    # Stopped, so that it cannot move pointers before the table is locked.
    running.send_signal(signal.SIGSTOP)
    with stack.table_locked("lake_segmentbatch"):
        running.send_signal(signal.SIGCONT)
        moves = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
        until(
            lambda: running.poll() is not None or stack.rows(moves, "%UPDATE lake_segmentbatch%") == [(True,)],
            "the compaction moves pointers",
        )
        running.kill()
        running.wait()
    yield


@_fault("compaction: two at once, beside landing")
def _(stack: Stack) -> Iterator[None]:
    both = [stack.manage_later("compactsegments", "--include-today") for _ in range(2)]
    yield
    for running in both:
        assert running.wait(120) == 0


def _until_it_merges(stack: Stack, running: subprocess.Popen[bytes]) -> None:
    """Waits for a claim on a segment; only a compaction claims segments."""
    merges = "SELECT count(*) > 0 FROM lake_segment WHERE state = 'L' AND claimed_until > now()"
    until(lambda: running.poll() is not None or stack.rows(merges) == [(True,)], "segments are merged")


@_fault("compaction: kill -9 of the sweeper while it deletes replaced objects")
def _(stack: Stack) -> Iterator[None]:
    stack.manage("compactsegments", "--include-today")
    stack.store_proxy.switch(proxy.SILENT)
    expired = stack.rows("UPDATE lake_segment SET expires_at = now() WHERE state = 'R' AND sweeps = 0 RETURNING id")
    # After other faults there may be more than the sweeper takes at once.
    taken = "SELECT count(*) > 0 FROM lake_segment WHERE id = ANY(%s) AND sweeps > 0"
    # In a process of its own: the workers may all wait for the store with their landings.
    running = stack.manage_later("shell", "--no-imports", "-c", "from lake.segments import sweeper; sweeper.sweep()")
    until(lambda: stack.rows(taken, [id for (id,) in expired]) == [(True,)], "the sweeper deletes")
    running.kill()
    running.wait()
    stack.kill("worker-landing")
    stack.store_proxy.switch(proxy.PASS)
    yield


@_fault("worker-landing: kill -9 after its claim was lost, before it gives its segment up")
def _(stack: Stack) -> Iterator[None]:
    # The session that waits may be the journal's or a compaction's, which give up nothing.
    until(lambda: _killed_while_it_gives_up(stack), "a worker is killed while it gives its segment up", seconds=180)
    yield


def _killed_while_it_gives_up(stack: Stack) -> bool:
    with stack.table_locked("lake_segment"):
        until(lambda: _waits(stack, "%INSERT INTO lake_segment%"), "a worker intends a segment")
        # As if another worker had claimed the batches and died.
        stack.rows(
            "UPDATE ingest_batch SET claim_token = claim_token + 1, claimed_until = now() WHERE id IN (SELECT id FROM"
            " ingest_batch WHERE status = 'LANDING' AND claimed_until > now() ORDER BY id FOR UPDATE) RETURNING id"
        )
        # The next lock is granted right after the row of the segment.
        locked = stack.lock_next("lake_segment")
    try:
        until(lambda: _waits(stack, "%SET state = 'A'%state IN ('I', 'A')%"), "it gives its segment up", seconds=15)
    except AssertionError:
        return False
    else:
        stack.kill("worker-landing")
        return True
    finally:
        locked.close()


@_fault("journal: kill -9 between the intended and the written object")
def _(stack: Stack) -> Iterator[None]:
    # Nothing lands while the store is silent, so an entry has to wait before.
    waiting = "SELECT count(*) > 0 FROM lake_journalentry"
    until(lambda: stack.rows(waiting) == [(True,)], "the journal has something to tell")
    stack.store_proxy.switch(proxy.SILENT)
    # In a process of its own: the workers may all wait for the store with their landings.
    running = stack.manage_later("shell", "--no-imports", "-c", "from ingest.pipeline import journal; journal.write()")
    intended = "SELECT count(*) > 0 FROM lake_segment WHERE layout = 2 AND state = 'I'"
    until(lambda: stack.rows(intended) == [(True,)], "somebody writes the journal")
    running.kill()
    running.wait()
    stack.kill("worker-landing")
    stack.store_proxy.switch(proxy.PASS)
    yield


@_fault("journal: kill -9 between the written object and its row")
def _(stack: Stack) -> Iterator[None]:
    waiting = "SELECT count(*) > 0 FROM lake_journalentry"
    with psycopg.connect(stack.dsn) as holder:
        until(lambda: stack.rows(waiting) == [(True,)], "the journal has something to tell")
        # Rows and not the table, for which landings would wait too. The entries may be written before they are locked.
        until(
            lambda: holder.execute("SELECT id FROM lake_journalentry FOR UPDATE SKIP LOCKED").fetchall(),
            "entries are locked",
        )
        until(lambda: _waits(stack, "%DELETE FROM lake_journalentry%"), "a worker publishes the journal")
        stack.kill("worker-landing")
    yield


@_fault("retention: kill -9 while it removes records")
def _(stack: Stack) -> Iterator[None]:
    old = stack.new_client()
    sent = [record(event_at="2020-01-31T12:00:00Z", data={"n": n}) for n in range(20)]
    batch_id = old.post([*sent, record()]).json()["batchId"]
    until(lambda: old.batch(batch_id)["status"] == "COMPLETE", "the old records have landed")
    of = "WHERE name = %s RETURNING id"
    [(workspace_id,)] = stack.rows(f"UPDATE ingest_workspace SET record_retention_days = 365 {of}", old.workspace)
    count = "SELECT count(*) FROM lake_record WHERE workspace_id = %s"
    with stack.table_locked("lake_removedrecord"):
        running = stack.manage_later("removeexpired", "records")
        until(lambda: _waits(stack, REMOVES), "it removes records")
        running.kill()
        running.wait()
    until(lambda: not _waits(stack, REMOVES), "its transaction has ended")
    assert stack.rows(count, workspace_id)[0][0] in (1, 21)
    yield
    until(lambda: stack.manage("removeexpired", "records") and stack.rows(count, workspace_id) == [(1,)], "they go")
    told = "SELECT count(*), count(DISTINCT record_id) FROM lake_removedrecord WHERE workspace_id = %s"
    assert stack.rows(told, workspace_id) == [(20, 20)]
    dead = "SELECT sum(dead_count) FROM lake_segment WHERE workspace_id = %s AND state = 'L' AND layout = 1"
    assert stack.rows(dead, workspace_id) == [(20,)]
    assert journals.differences(stack, old.workspace, workspace_id) == []


@_fault("retention: kill -9 while a partition of payloads is detached")
def _(stack: Stack) -> Iterator[None]:
    partition = _fill_a_partition(stack)
    attached = "SELECT count(*) FROM pg_inherits WHERE inhrelid = to_regclass(%s)"
    with psycopg.connect(stack.dsn) as reader:
        # Detaching waits for every session that may see the partition.
        reader.execute("SELECT FROM lake_payloadpart LIMIT 1")
        running = stack.manage_later("removeexpired", "payloads")
        pending = "SELECT count(*) FROM pg_inherits WHERE inhrelid = to_regclass(%s) AND inhdetachpending"
        until(lambda: stack.rows(pending, partition) == [(1,)], "it detaches the partition")
        running.kill()
        running.wait()
    yield
    gone = "SELECT to_regclass(%s) IS NULL"
    until(
        lambda: stack.manage("removeexpired", "payloads") and stack.rows(gone, partition) == [(True,)], "it is dropped"
    )
    assert stack.rows(attached, partition) == [(0,)]


def _fill_a_partition(stack: Stack) -> str:
    """Moves the load to the next partition of payloads, and then to the one after it. Returns the first one's name.

    The last batch of the partition was accepted long ago. Those of the load are young: their payloads have to stay.
    """
    [(last,)] = stack.rows("SELECT last_value FROM ingest_batch_id_seq")
    width = payload_partitions.WIDTH
    start = (last // width + 1) * width
    stack.rows("SELECT setval('ingest_batch_id_seq', %s)", start)
    time.sleep(0.5)
    stack.rows(
        "INSERT INTO ingest_batch (id, workspace_id, source, type, status, created_at, record_count, accepted_count,"
        " rejected_count, error_count, first_errors, claim_token, claimed_by, claimed_alone, attempts, crashes,"
        " lone_crashes, failure, completed_at) SELECT %s, min(id), 'x', 'call', 'FAILED', now() - interval '30 days', 0, 0,"
        " 0, 0, '[]', 0, '', false, 0, 0, 0, 'x', now() - interval '30 days' FROM ingest_workspace RETURNING id",
        start + width - 1,
    )
    stack.rows("SELECT setval('ingest_batch_id_seq', %s)", start + width)
    time.sleep(0.5)
    # The first partition spans several widths.
    [(name,)] = stack.rows(
        "SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
        " WHERE i.inhparent = 'lake_payloadpart'::regclass AND pg_get_expr(c.relpartbound, c.oid) LIKE %s",
        f"%TO ('{start + width}')",
    )
    return str(name)


# The beginning of the statement: with the ids of many records, pg_stat_activity cuts off its end.
REMOVES = "%WITH versions AS%DELETE FROM lake_recordversion%"


def _waits(stack: Stack, statement: str) -> bool:
    """Whether a session that runs such a statement waits for a lock."""
    waits = "SELECT count(*) > 0 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE %s"
    return stack.rows(waits, statement) == [(True,)]


@_fault("web: kill -9 after the commit, before the publish")
def _(stack: Stack) -> Iterator[None]:
    with stack.frozen(stack.broker.name):
        time.sleep(0.5)
        stack.kill("web")
    yield


_once("broker: kill -9", lambda stack: stack.servers.signal(stack.broker.name, signal.SIGKILL))


@_fault("broker: flushed, again and again")
def _(stack: Stack) -> Iterator[None]:
    for _ in range(10):
        stack.broker.flush()
        time.sleep(0.1)
    yield


@_fault("broker: frozen")
def _(stack: Stack) -> Iterator[None]:
    with stack.frozen(stack.broker.name):
        time.sleep(3)
        yield


@_fault("broker: out of memory")
def _(stack: Stack) -> Iterator[None]:
    with stack.broker.exhausted():
        time.sleep(2)
        yield


if chosen.POOLER:
    _once("pooler: kill -9", lambda stack: stack.servers.signal(chosen.POOLER, signal.SIGKILL))

_once("postgresql: kill -9", lambda stack: stack.servers.signal("postgres", signal.SIGKILL))


@_fault("postgresql: immediate stop")
def _(stack: Stack) -> Iterator[None]:
    stack.servers.signal("postgres", signal.SIGQUIT)
    yield


@_fault("postgresql: connections cut, again and again")
def _(stack: Stack) -> Iterator[None]:
    for _ in range(5):
        stack.cut_connections()
        time.sleep(0.2)
    yield


@_fault("postgresql: read-only")
def _(stack: Stack) -> Iterator[None]:
    stack.set_read_only(True)
    time.sleep(2)
    yield
    stack.set_read_only(False)


_once("store: kill -9", lambda stack: stack.servers.signal("seaweedfs", signal.SIGKILL))

for _mode in (proxy.BUSY, proxy.SILENT, proxy.CLOSED, proxy.DEAF):

    @_fault(f"store: {_mode}")
    def _(stack: Stack, mode: str = _mode) -> Iterator[None]:
        stack.store_proxy.switch(mode)
        time.sleep(3)
        yield
        stack.store_proxy.switch(proxy.PASS)


@_fault("beat: two of them")
def _(stack: Stack) -> Iterator[None]:
    stack.start(BEAT_2)
    time.sleep(3)
    yield
    stack.stop(BEAT_2)


@_fault("clock: set back by an hour while claims stand")
def _(stack: Stack) -> Iterator[None]:
    # For the rows it makes no difference whether the clock goes back or their times go forward.
    with psycopg.connect(stack.dsn, autocommit=True) as connection:
        for _ in range(10):
            connection.execute(
                "WITH open AS (SELECT id FROM ingest_batch WHERE status = 'LANDING' ORDER BY id FOR UPDATE)"
                " UPDATE ingest_batch AS b SET claimed_until = claimed_until + interval '1 hour',"
                " not_before = not_before + interval '1 hour' FROM open WHERE b.id = open.id"
            )
            connection.execute(
                "WITH open AS (SELECT id FROM attachments_attachment WHERE state IN ('PENDING', 'IN_PROGRESS')"
                " ORDER BY id FOR UPDATE) UPDATE attachments_attachment AS a SET"
                " claimed_until = claimed_until + interval '1 hour', next_attempt_at = next_attempt_at + interval '1 hour'"
                " FROM open WHERE a.id = open.id"
            )
            stack.kill_children("worker-landing")
            time.sleep(0.2)
    yield
