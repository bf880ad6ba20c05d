"""Each task gets a working database connection of its process."""

import threading

import psycopg
import pytest
from celery.signals import task_prerun
from django.db import connection

from evermuse import prepared
from ingest.tasks import sweep


def begin_task() -> None:
    task_prerun.send(sender=sweep, task_id="t1", task=sweep)


def backend() -> int:
    [(pid,)] = prepared.rows("SELECT pg_backend_pid()", [])
    return int(pid)


def end(pid: int) -> None:
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])


@pytest.mark.django_db(transaction=True)
def test_working_database_connection_is_reused_by_the_next_task() -> None:
    before = backend()
    begin_task()
    assert backend() == before


@pytest.mark.django_db(transaction=True)
def test_database_connection_that_the_server_closed_is_reopened() -> None:
    before = backend()
    thread = threading.Thread(target=end, args=[before])
    thread.start()
    thread.join()
    begin_task()
    assert backend() != before
