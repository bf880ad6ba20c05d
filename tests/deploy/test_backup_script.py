"""deploy/backup/backup.sh with programs that stand in for Barman's."""

import json
import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent.parent / "deploy" / "backup" / "backup.sh"


def write_program(path: Path, command: str) -> None:
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("command", ["run", "archive"])
def test_wal_that_the_store_does_not_take_stays_in_the_spool(command: str, tmp_path: Path) -> None:
    spool, programs = tmp_path / "wal", tmp_path / "bin"
    spool.mkdir()
    programs.mkdir()
    (spool / "000000010000000000000001").write_text("wal")
    for name in ("barman-cloud-wal-archive", "barman-cloud-backup"):
        write_program(programs / name, "exit 4")
    environment = {
        **os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "WAL_SPOOL": str(spool), "BACKUP_URL": "s3://bucket/path",
        "BACKUP_ALIVE": str(tmp_path / "alive"),
    }  # fmt: skip
    started = subprocess.Popen([str(SCRIPT), command], env=environment, stderr=subprocess.PIPE, text=True)
    assert started.stderr is not None
    if command == "run":
        assert "the WAL could not be archived, and waits" in started.stderr.readline()
        started.terminate()
    started.wait(60)
    assert [path.name for path in spool.iterdir()] == ["000000010000000000000001"]


# What `barman-cloud-backup-list --format json` prints, but for what the script does not read. A backup that failed may have no end.
LISTED = [
    {"backup_id": "20260101T030000", "backup_name": "before-upgrade", "status": "DONE", "end_time_iso": "2026-01-01T04:00:00+01:00"},
    {"backup_id": "20260102T030000", "backup_name": None, "status": "DONE", "end_time_iso": "2026-01-02T03:10:00.5+00:00"},
    {"backup_id": "20260103T030000", "backup_name": None, "status": "FAILED", "end_time_iso": "2026-01-03T03:10:00+00:00"},
    {"backup_id": "20260104T030000", "backup_name": None, "status": "FAILED"},
    {"backup_id": "20260105T030000", "backup_name": None, "status": "STARTED"},
]  # fmt: skip


def fetch(tmp_path: Path, **settings: str) -> tuple[int, str, Path]:
    """Runs `fetch` of a store with these backups. Returns its exit code, what it said, and the data directory."""
    data = tmp_path / "data"
    (tmp_path / "listed").write_text(json.dumps({"backups_list": LISTED}))
    write_program(tmp_path / "barman-cloud-backup-list", f"cat {tmp_path}/listed")
    write_program(tmp_path / "barman-cloud-restore", 'eval "directory=\\$$#"; echo "$*" > "$directory/fetched"')
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "PGDATA": str(data),
        "BACKUP_URL": "s3://bucket/path",
    }
    done = subprocess.run(
        [str(SCRIPT), "fetch"], env=environment | settings, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stderr, data


@pytest.mark.parametrize(
    ("settings", "backup_id"),
    [
        ({}, "20260102T030000"),
        ({"RESTORE_TIME": "2026-01-02 03:10:01+00"}, "20260102T030000"),
        ({"RESTORE_TIME": "2026-01-02 03:10:00+00"}, "20260101T030000"),
        ({"RESTORE_TIME": "2026-01-01 04:30:00+01"}, "20260101T030000"),
        ({"BACKUP_ID": "20260101T030000"}, "20260101T030000"),
        ({"BACKUP_ID": "before-upgrade"}, "20260101T030000"),
    ],
)
def test_the_last_complete_backup_before_the_time_or_the_named_one_is_fetched(
    settings: dict[str, str], backup_id: str, tmp_path: Path
) -> None:
    code, said, data = fetch(tmp_path, **settings)
    assert code == 0, said
    assert (data / "fetched").read_text().split()[-2:] == [backup_id, str(data)]
    assert (data / "recovery.signal").exists()


def test_the_time_of_a_restore_reaches_postgresql_in_utc(tmp_path: Path) -> None:
    _, _, data = fetch(tmp_path, RESTORE_TIME="2026-01-31 01:30:00.25+02", TZ="Asia/Tokyo")
    assert "recovery_target_time = '2026-01-30 23:30:00.250000+00'\n" in (data / "postgresql.auto.conf").read_text()


def test_a_backup_that_failed_cannot_be_named(tmp_path: Path) -> None:
    code, said, data = fetch(tmp_path, BACKUP_ID="20260104T030000")
    assert (code, said) == (1, "backup: there is no complete base backup 20260104T030000: see backup.sh list\n")
    assert not data.exists()


def test_restore_as_root_or_without_postgresqls_programs_is_refused_before_anything_is_fetched(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "date", "grep"):
        (programs / name).symlink_to(f"/bin/{name}")
    write_program(programs / "id", "echo 0")
    environment = {"PATH": str(programs), "PGDATA": str(tmp_path / "data"), "BACKUP_URL": "s3://bucket/path"}
    done = subprocess.run([str(SCRIPT), "restore"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "backup: PostgreSQL refuses to run as root: run this as the user that owns its data",
        "backup: pg_ctl is not in PATH: add the directory of PostgreSQL's programs",
    ]
