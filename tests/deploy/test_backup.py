"""The drill: PostgreSQL is lost, and restored from the archive by `backup.sh restore`, with and without the last WAL."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from deploy.local.embedded import Servers
from deploy.local.servers import POSTGRES_PACKAGE, PostgreSQL, package_file, unprivileged
from evermuse import public_ids
from tests.journeys.client import HttpClient
from tests.journeys.stack import BUCKET, ROOT, Stack, until
from tests.records import record

SCRIPT = ROOT / "deploy" / "backup" / "backup.sh"
ARCHIVE = "backup"
PROCESSES = ("web", "worker-landing", "beat")


def superuser(servers: Servers) -> str:
    server = servers._servers["postgres"]
    assert isinstance(server, PostgreSQL)
    return server.superuser_url("postgres")


class Backup:
    """`deploy/backup/backup.sh` beside a PostgreSQL that archives its WAL."""

    def __init__(self, servers: Servers, root: Path) -> None:
        self._servers, self._spool = servers, root / "wal"
        self._spool.mkdir()
        self.data = servers.home.root / "postgres"

    def archive_wal(self) -> None:
        """Lets PostgreSQL archive into the spool, as deploy/postgres/start.sh does."""
        self._servers._servers["postgres"].prepare()
        printed = subprocess.run(
            ["sh", str(ROOT / "deploy" / "postgres" / "start.sh")],
            env={**os.environ, "POSTGRES_ENTRYPOINT": r"printf %s\n", "POSTGRES_ARCHIVE": "on", "POSTGRES_WAL_SPOOL": "SPOOL"},
            capture_output=True, text=True, check=True,
        ).stdout.replace("SPOOL", str(self._spool))  # fmt: skip
        words = dict(line.split("=", 1) for line in printed.splitlines() if line.startswith("archive_"))
        with (self.data / "postgresql.auto.conf").open("a") as settings:
            settings.writelines(f"{name} = '{value}'\n" for name, value in words.items())

    def take(self) -> None:
        """A base backup. The WAL is archived meanwhile, as by `backup.sh run`."""
        base = subprocess.Popen([str(SCRIPT), "base"], env=self._environment(), stderr=subprocess.PIPE, text=True)
        while base.poll() is None:
            self.run("archive")
            time.sleep(0.2)
        assert base.returncode == 0, base.communicate()[1]

    def archive_all(self) -> str:
        """Archives everything that was committed until now. Returns the name of the last WAL file."""
        found = self.sql("SELECT pg_walfile_name(pg_switch_wal())")
        assert found is not None
        until(lambda: (self._spool / found[0]).exists(), "PostgreSQL has given the file to its archive command")
        self.run("archive")
        return str(found[0])

    def run(self, *words: str) -> None:
        code, said = self.result(*words)
        assert code == 0, said

    def result(self, *words: str, **settings: str) -> tuple[int, str]:
        """The exit code of a command, and what it said."""
        done = subprocess.run(
            # PostgreSQL, which `restore` starts, refuses to run as root.
            [*unprivileged(), str(SCRIPT), *words],
            env=self._environment() | settings, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def _environment(self) -> dict[str, str]:
        address = psycopg.conninfo.conninfo_to_dict(superuser(self._servers))
        return {
            **os.environ,
            "BACKUP_URL": f"s3://{BUCKET}/{ARCHIVE}",
            "BACKUP_ENDPOINT": f"http://{self._servers.environment['MINIO_ENDPOINT']}",
            "WAL_SPOOL": str(self._spool),
            "PGDATA": str(self.data),
            "PGHOST": str(address["host"]),
            "PGPORT": str(address["port"]),
            "PGUSER": str(address["user"]),
            "PGPASSWORD": str(address["password"]),
        }

    def sql(self, statement: str) -> tuple[Any, ...] | None:
        """The first row of a statement of the superuser."""
        with psycopg.connect(superuser(self._servers), autocommit=True) as connection:
            done = connection.execute(statement.encode())
            return done.fetchone() if done.description else None

    def lose_database(self) -> None:
        """The server dies, and its disk is gone."""
        self._servers.stop("postgres")
        shutil.rmtree(self.data)

    def restore(self, **settings: str) -> None:
        """Restores as the documents say, and starts PostgreSQL. The archive stays that of the lost database."""
        code, said = self.result("restore", **settings)
        assert code == 0, said
        assert said.rstrip().endswith("restored; start PostgreSQL, and run manage.py restorecheck")
        left = (self.data / "postgresql.auto.conf").read_text()
        assert "restore_command" not in left and "recovery_target" not in left
        with (self.data / "postgresql.auto.conf").open("a") as kept:
            kept.write("archive_mode = off\n")
        self._servers.start("postgres")
        self._servers.wait_ready("postgres")
        assert self.sql("SELECT pg_is_in_recovery()") == (False,)


@dataclass
class Drill:
    """A stack of its own, whose database may be lost."""

    stack: Stack
    backup: Backup
    client: HttpClient

    def send(self, name: str, count: int) -> list[str]:
        """Sends batches of two records; the ids that were acknowledged."""
        ids = []
        for n in range(count):
            answer = self.client.post(
                [record(vendor_ids={"id": f"{name}-{n}-{i}"}, data={"n": n}) for i in range(2)], timeout=60
            )
            assert answer.status_code == 202, answer.text
            ids.append(answer.json()["batchId"])
        return ids

    def status_of(self, ids: list[str]) -> set[str]:
        numbers = [public_ids.batch_number(one) for one in ids]
        rows = self.stack.rows("SELECT id, status FROM ingest_batch WHERE id = ANY(%s)", numbers)
        return {status for _, status in rows} if len(rows) == len(ids) else {"MISSING"}

    def await_complete(self, ids: list[str]) -> None:
        until(lambda: self.status_of(ids) == {"COMPLETE"}, "all batches are COMPLETE")

    def await_journal(self) -> None:
        """Until the bucket knows how far the database is."""
        until(
            lambda: (
                self.stack.rows("SELECT count(*) FROM lake_journalentry") == [(0,)]
                and self.stack.rows(
                    "SELECT (drawn->>'ingest_batch_id_seq')::bigint = (SELECT max(id) FROM ingest_batch) FROM lake_restoremark"
                )
                == [(True,)]
            ),
            "journal and mark are written",
        )

    def check(self) -> tuple[int, dict[str, Any]]:
        """`manage.py restorecheck`: its exit code and report."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), "restorecheck"],
            env=self.stack.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, json.loads(done.stdout)


@pytest.fixture
def drill(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drill]:
    programs = str(Path(sys.executable).parent)
    if shutil.which("barman-cloud-backup", path=programs) is None:
        pytest.skip("Barman is not installed: pip install --no-deps -r deploy/requirements/backup.txt")
    servers = Servers(tmp_path / "servers", is_durable=False)
    # PostgreSQL's restore_command needs them too.
    of_postgresql = Path(package_file(POSTGRES_PACKAGE, "pginstall/bin/pg_ctl")).parent
    monkeypatch.setenv("PATH", f"{programs}:{of_postgresql}:{os.environ['PATH']}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", servers.environment["MINIO_ACCESS_KEY"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", servers.environment["MINIO_SECRET_KEY"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # The stack reads its settings from these names; those of the test run name other servers.
    for name, value in servers.environment.items():
        monkeypatch.setenv(name, value)
    backup = Backup(servers, tmp_path)
    stack: Stack | None = None
    try:
        backup.archive_wal()
        for name in ("seaweedfs", "postgres", "valkey"):
            servers.start(name)
        for name in ("postgres", "valkey", "seaweedfs"):
            servers.wait_ready(name)
        stack = Stack(servers, tmp_path / "stack")
        stack.start(*PROCESSES)
        until(stack.is_up, "the stack is up")
        yield Drill(stack, backup, stack.new_client())
    finally:
        if stack is not None:
            stack.stop_all()
        servers.stop_all()


def ids_in(ranges: list[dict[str, Any]]) -> set[str]:
    """The batch ids of a report's ranges."""
    found: set[str] = set()
    for one in ranges:
        first, last = public_ids.batch_number(one["first"]), public_ids.batch_number(one["last"])
        assert first is not None and last is not None and last - first + 1 == one["count"] < 10_000
        found |= {public_ids.of_batch(number) for number in range(first, last + 1)}
    return found


def test_a_lost_database_is_restored_from_the_archive_and_the_gap_of_a_missing_wal_is_named(drill: Drill) -> None:
    stack, backup = drill.stack, drill.backup
    before = drill.send("before", 3)
    drill.await_complete(before)
    backup.take()
    archived = drill.send("archived", 3)
    drill.await_complete(archived)
    stack.stop("worker-landing")
    waiting = drill.send("waiting", 2)
    last_kept = backup.archive_all()
    # From here on everything is in later WAL: one file, or several if it takes more than a minute.
    stack.start("worker-landing")
    landed = drill.send("landed", 4)
    drill.await_complete(landed + waiting)
    drill.await_journal()
    stack.stop("worker-landing")
    accepted = drill.send("accepted", 3)
    mark_all(drill)
    moment = str(backup.sql("SELECT now()")[0])  # type: ignore[index]
    backup.sql("CREATE TABLE after_the_moment ()")
    # The last base backup is too late for that moment.
    backup.take()
    backup.archive_all()
    stack.stop(*stack.children)
    assert backup.result("restore") == (1, "backup: PGDATA is not empty: move the old data directory away first\n")
    backup.lose_database()
    check_refusals(backup)

    hidden = hide(stack, last_kept)
    first, _ = sorted(
        one.object_name.split("/")[-2] for one in stack.store.list_objects(BUCKET, f"{ARCHIVE}/evermuse/base/")
    )
    backup.restore(BACKUP_ID=first)
    stack.manage("migrate", "--noinput", "--verbosity", "0")
    assert stack.rows("SELECT last_value > 1000000000 FROM ingest_batch_id_seq") == [(True,)], "recognised at the start"
    code, report = drill.check()
    assert (code, report["wasSetBack"], report["complete"]) == (1, True, False)
    assert ids_in(report["landedAgain"]["batches"]) == set(landed)
    assert ids_in(report["missing"]["batches"]) == set(accepted)
    assert drill.check()[1]["missing"]["batches"] == report["missing"]["batches"]
    backup.lose_database()

    for key, content in hidden.items():
        stack.store.put_object(BUCKET, key, io.BytesIO(content), len(content))
    backup.restore(RESTORE_TIME=moment)
    assert backup.sql("SELECT to_regclass('after_the_moment')") == (None,)
    code, report = drill.check()
    assert (code, report["missing"]["batches"]) == (0, []), report
    acknowledged = before + archived + waiting + landed + accepted
    stack.start(*PROCESSES)
    drill.await_complete(acknowledged)
    # Workers may be there before web.
    until(stack.is_up, "the stack is up again")
    later = drill.send("later", 1)
    assert later[0] > public_ids.of_batch(10**9)
    drill.await_complete(later)
    assert len(drill.client.records()) == 2 * len([*acknowledged, *later])


def check_refusals(backup: Backup) -> None:
    """What cannot be restored is refused in one line, before anything is fetched."""
    for settings, said in (
        ({"BACKUP_SERVER": "other"}, "BACKUP_URL has no complete base backup of the server other"),
        ({"BACKUP_ID": "20000101T000000"}, "there is no complete base backup 20000101T000000"),
        ({"RESTORE_TIME": "2000-01-01 00:00:00+00"}, "no base backup was complete before RESTORE_TIME"),
    ):
        assert backup.result("restore", **settings) == (1, f"backup: {said}: see backup.sh list\n")
        assert not backup.data.exists()


def mark_all(drill: Drill) -> None:
    """What the worker's next round would do: the bucket learns that ids were given."""
    drill.stack.manage("shell", "--no-imports", "-c", "from ingest.pipeline import journal; journal.mark()")


def hide(stack: Stack, wal: str) -> dict[str, bytes]:
    """Takes the WAL files after one away from the archive. Returns them by their keys."""
    hidden: dict[str, bytes] = {}
    for one in stack.store.list_objects(BUCKET, f"{ARCHIVE}/evermuse/wals/", recursive=True):
        key = str(one.object_name)
        if key.rpartition("/")[2].partition(".")[0] > wal:
            hidden[key] = stack.store.get_object(BUCKET, key).read()
            stack.store.remove_object(BUCKET, key)
    assert hidden
    return hidden
