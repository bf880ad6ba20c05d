"""Commands that print JSON print nothing else on standard output; everything else goes to standard error."""

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from deploy.local.embedded import Servers
from evermuse import command_line

ROOT = Path(__file__).resolve().parent.parent.parent


def run(*words: str) -> tuple[Any, str]:
    """Runs a command on the tests' database; returns its JSON and its standard error."""
    url, _, _ = os.environ["DATABASE_URL"].rpartition("/")
    environment = {
        **os.environ, "DATABASE_URL": f"{url}/{connection.settings_dict['NAME']}", "EVERMUSE_LOG_LEVEL": "DEBUG",
        "EVERMUSE_ADMIN_PASSWORD": "made-for-the-commands-1",
    }  # fmt: skip
    done = subprocess.run(
        [sys.executable, "manage.py", *words], cwd=ROOT, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout), done.stderr


@pytest.mark.django_db(transaction=True)
def test_commands_print_json_alone_on_stdout(servers: Servers) -> None:
    assert run("createworkspace", "w", "--product", "p", "--project", "q")[0]["workspace"] == "w"
    made, told = run("createapikey", "w", "--label", "k")
    assert (made["label"], set(made)) == ("k", {"workspace", "label", "apiKey", "permissions"})
    assert "key.created" in told and made["apiKey"] not in told
    revoked, told = run("revokeapikey", "w", "k")
    assert revoked == {"workspace": "w", "label": "k", "revoked": True}
    assert "key.revoked" in told
    assert "processes" in run("services")[0]
    assert run("bootstrap_demo")[0]["workspace"] == "demo"


def started(*words: str | bytes, **options: Any) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "manage.py", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )


@pytest.mark.parametrize("words", [("services",), ("--help",), ("nosuch",)])
def test_command_whose_output_nobody_reads_ends_without_a_traceback(words: tuple[str, ...]) -> None:
    command = started(*words)
    assert command.stdout and command.stderr
    # As `manage.py … | true` does.
    command.stdout.close()
    told = command.stderr.read().decode()
    command.stderr.close()
    assert command.wait(60) == 1
    assert "Traceback" not in told and "Exception ignored" not in told


def test_broken_pipe_of_another_file_is_not_taken_for_a_lost_reader() -> None:
    reader, writer = os.pipe()
    assert not command_line._has_lost_its_reader(writer)
    os.close(reader)
    assert command_line._has_lost_its_reader(writer)
    os.close(writer)


def test_interrupted_command_says_so_without_a_traceback(servers: Servers) -> None:
    command = started("shell", "--no-imports", "-c", "print(1, flush=True); import time; time.sleep(60)")
    assert command.stdout and command.stderr
    assert command.stdout.readline() == b"1\n"
    command.send_signal(signal.SIGINT)
    assert command.stderr.read() == b"evermuse: interrupted\n"
    assert command.wait(60) == 130
    command.stdout.close()
    command.stderr.close()


def test_command_that_is_interrupted_while_python_imports_ends_without_a_traceback(tmp_path: Path) -> None:
    # Stands in for a package whose import takes long.
    (tmp_path / "django").mkdir()
    (tmp_path / "django" / "__init__.py").write_text("print(1, flush=True)\nimport time\ntime.sleep(60)\n")
    command = started("services", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert command.stdout and command.stderr
    assert command.stdout.readline() == b"1\n"
    command.send_signal(signal.SIGINT)
    assert command.stderr.read() == b""
    assert command.wait(60) == -signal.SIGINT
    command.stdout.close()
    command.stderr.close()


def test_argument_that_is_not_utf8_is_refused_in_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "createworkspace", b"caf\xe9"], cwd=ROOT, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, b"", b"evermuse: argument 2 is not UTF-8\n")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("words", "field"),
    [
        (("createworkspace", ""), "name"),
        (("createworkspace", "w", "--product", ""), "product_id"),
        (("createworkspace", "w", "--product", "p", "--project", "q" * 200), "project_id"),
        (("createapikey", "w", "--source", "a/b"), "source"),
        (("createapikey", "w", "--label", "l" * 200), "label"),
    ],
)
def test_error_of_a_command_names_the_field_that_is_wrong(words: tuple[str, ...], field: str) -> None:
    call_command("createworkspace", "w", stdout=io.StringIO())
    with pytest.raises(CommandError, match=f"^{field}: "):
        call_command(*words)
