"""The command `evermuse` without a server: exit codes, completion, and what it shows on a terminal."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent.parent
# The program's name decides how the shell's completion calls it.
AS_INSTALLED = "import sys; sys.argv[0] = 'evermuse'; from evermuse.client.main import main; main()"


def environment(directory: Path, **more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("EVERMUSE_")}
    return kept | {"EVERMUSE_CONFIG": str(directory / "config"), "PYTHONPATH": str(ROOT), "COLUMNS": "200"} | more


def run(directory: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", AS_INSTALLED, *words], cwd=directory, env=environment(directory, **more),
        capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False, timeout=120,
    )  # fmt: skip


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_for_the_command(tmp_path: Path, shell: str) -> None:
    done = run(tmp_path, "--show-completion", shell, _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1")
    assert (done.returncode, "_EVERMUSE_COMPLETE" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("evermuse se", ["send"]),
        ("evermuse convert mb", ["mbox"]),
        ("evermuse send --from ml", []),
        ("evermuse send --from ma", ["maildir"]),
    ],
)
def test_commands_and_formats_are_completed(tmp_path: Path, line: str, expected: list[str]) -> None:
    count = len(line.split()) - 1
    done = run(tmp_path, _EVERMUSE_COMPLETE="complete_bash", COMP_WORDS=line, COMP_CWORD=str(count))
    assert done.stdout.split() == expected, done.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("send",),
        ("send", "missing.ndjson"),
        ("nonsense",),
        ("batches",),
        ("convert", "tar", "x", "--product", "p", "--project", "q"),
    ],
)
def test_wrong_usage_ends_with_2(tmp_path: Path, words: tuple[str, ...]) -> None:
    done = run(tmp_path, *words)
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr


def test_unreachable_server_ends_with_3(tmp_path: Path) -> None:
    words = ("export", "--state", "state", "--url", "http://127.0.0.1:1", "--patience", "1")
    done = run(tmp_path, *words, EVERMUSE_API_KEY="em_sk_x" * 3)
    assert done.returncode == 3, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted_validation_ends_with_4(tmp_path: Path, number: signal.Signals) -> None:
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", AS_INSTALLED, "validate", "-"], cwd=tmp_path, env=environment(tmp_path), stdin=reading,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        # A pipe holds 64 kB, so the process is reading when a megabyte is written.
        pipe.write(b'{"a": 1}\n' * 120_000)
        pipe.flush()
        process.send_signal(number)
        _, errors = process.communicate(timeout=180)
    assert (process.returncode, errors) == (4, "error: interrupted\n")


def test_prompt_on_a_terminal_hides_the_key_and_ends_with_4_when_interrupted(tmp_path: Path) -> None:
    master, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", AS_INSTALLED, "login", "--url", "http://127.0.0.1:1"], cwd=tmp_path,
        env=environment(tmp_path), stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True,
    )  # fmt: skip
    shown = b""
    while b"API key" not in shown:
        shown += os.read(master, 1000)
    while termios.tcgetattr(terminal)[3] & termios.ECHO:
        time.sleep(0.05)
    os.write(master, b"em_sk_secret")
    # Python notices a signal that comes right before it reads only after the read, so press Ctrl-C again.
    for _ in range(6):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(10)
            break
    assert process.returncode == 4
    os.close(terminal)
    shown += os.read(master, 1000)
    os.close(master)
    assert b"secret" not in shown


@pytest.mark.parametrize("command", ["status", "errors", "get", "retry"])
def test_argument_that_is_not_utf8_is_wrong_usage(tmp_path: Path, command: str) -> None:
    more = {"EVERMUSE_URL": "http://127.0.0.1:1", "EVERMUSE_API_KEY": "em_sk_x"}
    done = run(tmp_path, command, os.fsdecode(b"caf\xe9"), **more)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == "error: an argument is not UTF-8"


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_name_that_the_output_cannot_show_ends_no_run(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "файл.ndjson").write_text('{"_type": "x"}\n', encoding="utf-8")
    done = run(tmp_path, "validate", "файл.ndjson", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (1, "")
    assert r"\u0444\u0430\u0439\u043b.ndjson" in done.stdout


def test_version_is_shown(tmp_path: Path) -> None:
    done = run(tmp_path, "--version")
    assert (done.returncode, done.stdout.split()[0]) == (0, "evermuse")


@pytest.mark.parametrize(
    ("name", "format"), [("Inbox.MBOX", "mbox"), ("a.eml", "eml"), ("b.csv", "csv"), ("c.zip", "slack")]
)
def test_file_of_another_system_is_not_read_as_records(tmp_path: Path, name: str, format: str) -> None:
    (tmp_path / name).write_text("From a\n")
    done = run(tmp_path, "validate", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{name}: not a file of records; evermuse send --from {format} converts it" in done.stderr
