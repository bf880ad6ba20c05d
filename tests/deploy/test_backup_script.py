"""deploy/backup/backup.sh with programs that stand in for Barman's."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent.parent / "deploy" / "backup" / "backup.sh"


@pytest.mark.parametrize("command", ["run", "archive"])
def test_wal_that_the_store_does_not_take_stays_in_the_spool(command: str, tmp_path: Path) -> None:
    spool, programs = tmp_path / "wal", tmp_path / "bin"
    spool.mkdir()
    programs.mkdir()
    (spool / "000000010000000000000001").write_text("wal")
    for name in ("barman-cloud-wal-archive", "barman-cloud-backup"):
        (programs / name).write_text("#!/bin/sh\nexit 4\n")
        (programs / name).chmod(0o755)
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
