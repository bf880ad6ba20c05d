"""`make matrix` runs what is asked for, says what cannot run, and the documents have a row for each part."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.matrix import parts
from tests.parts import chosen, debian

ROOT = Path(__file__).resolve().parent.parent.parent


def test_parts_are_chosen_by_name_and_none_means_all() -> None:
    assert parts.chosen("") == list(parts.PARTS)
    assert [part.name for part in parts.chosen("redis, pgbouncer")] == ["redis", "pgbouncer"]
    with pytest.raises(KeyError):
        parts.chosen("oracle")


def test_each_part_is_described_in_the_documents() -> None:
    page = (ROOT / "evermuse/docs/deploy.md").read_text()
    assert [part.name for part in parts.PARTS if f"| `{part.name}` |" not in page] == []


def test_part_that_is_not_installed_is_named_and_not_run() -> None:
    environment = {**os.environ, "PARTS": "moto", "MOTO_PYTHON": ""}
    done = subprocess.run(
        [sys.executable, "-m", "tests.matrix"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "not run" in done.stdout


@pytest.mark.parametrize(("variable", "value"), [("BROKER", "kafka"), ("POOLER", "odyssey"), ("STORE", "tape")])
def test_unknown_server_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setattr(chosen, variable, value)
    assert f"{variable} must be" in str(chosen.fault())


def test_servers_of_debian_that_are_unknown_or_not_there_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(debian, "ROOT", str(tmp_path))
    assert "not oracle" in str(debian.missing("oracle", "redis"))
    assert "debootstrap" in str(debian.missing("redis"))
    program = tmp_path / "usr/bin/redis-server"
    program.parent.mkdir(parents=True)
    program.touch()
    assert debian.missing("redis") is None
    assert debian.program("redis") == "/usr/bin/redis-server"
    assert "debootstrap" in str(debian.missing("redis", "postgres"))
    monkeypatch.setattr(debian, "WANTED", {"postgres"})
    assert "debootstrap" in str(chosen.fault())


@pytest.mark.parametrize("program", ["tests.journeys.__main__", "tests.journeys.scale_out.__main__"])
def test_programs_of_make_can_be_imported_before_they_choose_settings(program: str) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", f"import {program}"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
