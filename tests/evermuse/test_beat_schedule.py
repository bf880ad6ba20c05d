"""Beat's file of last runs, in places where it cannot be, and damaged."""

from pathlib import Path

import pytest
from kombu.utils.imports import symbol_by_name
from structlog.testing import capture_logs

from evermuse.beat_schedule import Scheduler
from evermuse.celery import app


@pytest.mark.parametrize("name", ["nowhere/schedule", "file/schedule", "x" * 300])
def test_place_that_cannot_be_written_ends_beat_with_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as raised:
        Scheduler(app, schedule_filename=str(tmp_path / name))
    [line] = str(raised.value).splitlines()
    assert line.startswith(f"evermuse: beat --schedule {tmp_path}")
    assert "name a file in a directory that exists" in line


def test_damaged_file_is_replaced_with_one_line(tmp_path: Path) -> None:
    path = tmp_path / "schedule"
    path.write_bytes(b"no database" * 1000)
    with capture_logs() as logged:
        Scheduler(app, schedule_filename=str(path)).close()
        Scheduler(app, schedule_filename=str(path)).close()
    assert [(one["event"], "exc_info" in one) for one in logged] == [("beat.schedule_replaced", False)]


def test_beat_uses_this_scheduler() -> None:
    assert symbol_by_name(app.conf.beat_scheduler) is Scheduler
