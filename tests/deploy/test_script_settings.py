"""The shell scripts of the images check their settings first, all at once; and `backup.sh run`, with Barman's programs replaced."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.journeys.stack import until

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
BACKUP = DEPLOY / "backup" / "backup.sh"
MARK = "swordfish"
GOOD = {"BACKUP_URL": "s3://bucket/path", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
# What each program writes into the file of calls.
PROGRAM = '#!/bin/sh\necho "${0##*/} $*" >> "$CALLS"\n'


def run(script: Path, *words: str, **environment: str) -> tuple[int, list[str]]:
    """Runs a script with these settings alone. Returns its exit code and the lines of its standard error."""
    done = subprocess.run(
        ["sh", str(script), *words], env={"PATH": os.environ["PATH"]} | environment, capture_output=True, text=True, check=False
    )  # fmt: skip
    return done.returncode, done.stderr.splitlines()


def test_backup_reports_all_wrong_settings_at_once_without_their_values(tmp_path: Path) -> None:
    wrong = {
        "BACKUP_URL": f"https://{MARK}",
        "BACKUP_ENDPOINT": MARK,
        "AWS_SECRET_ACCESS_KEY": MARK,
        "BACKUP_HOURS": f"1{MARK}",
        "ARCHIVE_SECONDS": "0",
        "PGPORT": MARK,
        "BACKUP_RETENTION": MARK,
        "WAL_SPOOL": str(tmp_path / MARK),
    }
    code, lines = run(BACKUP, "run", **wrong)
    assert code == 2
    named = [line.split()[1] for line in lines]
    assert named == [name if name != "AWS_SECRET_ACCESS_KEY" else "AWS_ACCESS_KEY_ID" for name in wrong]
    assert MARK not in "\n".join(lines)
    assert f"BACKUP_URL ({len(wrong['BACKUP_URL'])} characters) must be s3://bucket/path" in lines[0]


@pytest.mark.parametrize(
    ("words", "environment", "named"),
    [
        ("run", {}, ["BACKUP_URL", "WAL_SPOOL"]),
        ("base", {}, ["BACKUP_URL"]),
        ("list", {}, ["BACKUP_URL"]),
        ("fetch", {"RESTORE_TIME": "yesterday"}, ["BACKUP_URL", "PGDATA", "RESTORE_TIME"]),
        ("restore", {"AWS_ACCESS_KEY_ID": "a"}, ["BACKUP_URL", "AWS_SECRET_ACCESS_KEY", "PGDATA"]),
    ],
)
def test_each_command_of_the_backup_names_what_it_needs(
    words: str, environment: dict[str, str], named: list[str], tmp_path: Path
) -> None:
    code, lines = run(BACKUP, words, **{"WAL_SPOOL": str(tmp_path / "missing")} | environment)
    assert (code, [line.split()[1] for line in lines]) == (2, named)


def test_postgresql_and_store_of_compose_report_all_wrong_settings_at_once() -> None:
    wrong = {"POSTGRES_MAX_CONNECTIONS": "many", "POSTGRES_ARCHIVE": "yes", "POSTGRES_ARCHIVE_SECONDS": "1m"}
    code, lines = run(DEPLOY / "postgres" / "start.sh", **wrong)
    assert (code, {line.split()[1] for line in lines}) == (1, set(wrong))
    code, lines = run(DEPLOY / "seaweedfs" / "start.sh", STORE_SECRET_KEY=f'"{MARK}"')
    assert code == 1
    assert [line.split()[1] for line in lines] == [
        "STORE_ROOT_SECRET_KEY", "STORE_SECRET_KEY", "STORE_UPLOAD_SECRET_KEY",
    ]  # fmt: skip
    assert MARK not in "\n".join(lines)


def test_backup_that_runs_archives_takes_a_base_backup_shows_its_life_and_ends_on_sigterm(tmp_path: Path) -> None:
    programs, spool, calls, alive = (tmp_path / name for name in ("bin", "wal", "calls", "alive"))
    programs.mkdir()
    spool.mkdir()
    for name in ("wal-archive", "backup", "backup-delete"):
        (programs / f"barman-cloud-{name}").write_text(PROGRAM)
        (programs / f"barman-cloud-{name}").chmod(0o755)
    for name in ("000000010000000000000001", "000000010000000000000002.part"):
        (spool / name).write_bytes(b"wal")
    environment = GOOD | {
        "PATH": f"{programs}:{os.environ['PATH']}", "CALLS": str(calls), "WAL_SPOOL": str(spool), "BACKUP_ALIVE": str(alive),
        "ARCHIVE_SECONDS": "1",
    }  # fmt: skip
    started = subprocess.Popen(["sh", str(BACKUP), "run"], env=environment)
    try:
        until(lambda: calls.exists() and "backup-delete" in calls.read_text(), "a base backup was taken")
        assert run(BACKUP, "alive", BACKUP_ALIVE=str(alive))[0] == 0
    finally:
        started.send_signal(signal.SIGTERM)
    assert started.wait(120) == 0
    done = [line.split()[0] for line in calls.read_text().splitlines()]
    assert done == ["barman-cloud-wal-archive", "barman-cloud-backup", "barman-cloud-backup-delete"]
    # A file that PostgreSQL has not finished is left alone.
    assert [path.name for path in spool.iterdir()] == ["000000010000000000000002.part"]
    os.utime(alive, (0, 0))
    for gone in (alive, tmp_path / "missing"):
        code, [line] = run(BACKUP, "alive", BACKUP_ALIVE=str(gone))
        assert (code, line) == (1, "backup: nothing was archived, or tried to, within the last 10 minutes")
