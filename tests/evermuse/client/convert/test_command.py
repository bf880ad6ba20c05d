"""The command `evermuse convert`: exit codes, counts, and a reader that goes away."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

MAIL = "From a Mon Jan  1 10:00:00 2024\nMessage-ID: <{0}@x>\nSubject: {0}\n\nHello\n\n"
BASE = [sys.executable, "-m", "evermuse.client", "convert"]
IDS = ["--product", "prod", "--project", "proj"]
ROOT = Path(__file__).resolve().parents[4]


def convert(*words: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*BASE, *map(str, words)], cwd=cwd, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip


def test_counts_are_printed_and_rejects_change_the_exit_code(tmp_path: Path) -> None:
    (tmp_path / "a.mbox").write_text(
        MAIL.format(1) + MAIL.format(2) + MAIL.format(1) + "From -\nSubject: no date\n\nx\n"
    )
    done = convert("mbox", "a.mbox", *IDS, "--json", cwd=tmp_path)
    assert (done.returncode, len(done.stdout.splitlines())) == (1, 2)
    counts = json.loads(done.stderr)
    assert (counts["read"], counts["converted"], counts["rejected"], counts["duplicates"]) == (4, 2, 2, 1)
    assert len((tmp_path / counts["rejects"]).read_text().splitlines()) == 2


def test_wrong_usage_is_explained(tmp_path: Path) -> None:
    for words in (["pst", "x"], ["mbox", "nowhere"], ["csv", "."], ["mbox"]):
        done = convert(*words, *IDS, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert "Traceback" not in done.stderr and done.stderr


def test_a_reader_that_goes_away_ends_the_run_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "a.mbox").write_text("".join(MAIL.format(number) for number in range(3000)))
    running = subprocess.Popen(
        [*BASE, "mbox", "a.mbox", *IDS], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )  # fmt: skip
    assert running.stdout and running.stderr
    assert running.stdout.readline().startswith(b'{"_type":"email"')
    running.stdout.close()
    errors = running.stderr.read().decode()
    assert running.wait(180) == 4
    assert "Traceback" not in errors and "BrokenPipe" not in errors


def test_slack_export_is_read_from_a_pipe(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "export.zip", "w") as archive:
        archive.writestr("channels.json", '[{"id": "C1", "name": "general"}]')
        archive.writestr(
            "general/2023-11-14.json", '[{"type": "message", "user": "U1", "text": "a", "ts": "1700000000.1"}]'
        )
    with (tmp_path / "export.zip").open("rb") as pipe:
        done = subprocess.run(
            [*BASE, "slack", "-", *IDS, "--json"], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, stdin=pipe, capture_output=True, timeout=120, check=False
        )  # fmt: skip
    assert (done.returncode, len(done.stdout.splitlines())) == (0, 1)
