"""compose.yaml and the Dockerfile run the same processes as `make run`."""

import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.local.child import ALLOCATOR
from deploy.local.processes import FLOWER_CONFIGURATION, commands
from deploy.local.servers import APPLICATION, APPLICATION_SQL

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
DEFAULTS = {"EVERMUSE_WEB_WORKERS": "2", "EVERMUSE_LANDING_CONCURRENCY": "2", "EVERMUSE_ATTACHMENT_CONCURRENCY": "16"}


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


def local_commands(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    for name, value in DEFAULTS.items():
        monkeypatch.setenv(name, value)
    made = commands(web_port=8000, flower_port=5555, run="/var/lib/evermuse")
    return {
        one.name: [
            word.replace("127.0.0.1", "0.0.0.0").replace(f"={FLOWER_CONFIGURATION}", "=/app/evermuse/flowerconfig.py")
            for word in one.words
        ]
        for one in made
    }


def test_compose_runs_each_process_with_the_command_line_of_make_run(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    local = local_commands(monkeypatch)
    for name, words in local.items():
        composed = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in services[name]["command"]]
        assert composed == ["python", *words[1:]], name
        assert words[0] == sys.executable


def test_compose_has_the_servers_and_every_process(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(services) == {"postgres", "database", "redis", "minio", "migrate", *local_commands(monkeypatch)}


def test_only_bootstrap_gets_administrative_credentials_in_compose(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in local_commands(monkeypatch):
        given = services[name]["environment"]
        assert not {"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", "PGPASSWORD"} & set(given), name
        assert "POSTGRES_PASSWORD" not in given["DATABASE_URL"]
        assert given["DATABASE_URL"].startswith(f"postgresql://{APPLICATION}:")
        assert "ROOT" not in given["MINIO_SECRET_KEY"] + given["MINIO_UPLOAD_SECRET_KEY"]
        assert given["MINIO_ACCESS_KEY"] != services["minio"]["environment"]["MINIO_ROOT_USER"]
    assert services["migrate"]["environment"]["MINIO_ROOT_USER"] == services["minio"]["environment"]["MINIO_ROOT_USER"]
    assert services["database"]["volumes"] == [f"./postgres/{APPLICATION_SQL.name}:/application.sql:ro"]
    assert APPLICATION_SQL.parent == DEPLOY / "postgres"


def test_compose_publishes_no_port_beyond_localhost(services: dict[str, Any]) -> None:
    ports = [port for service in services.values() for port in service.get("ports", [])]
    assert len(ports) >= 3
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_image_runs_the_web_process_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    command = (DEPLOY / "Dockerfile").read_text().rpartition("CMD ")[2]
    words = yaml.safe_load(command)
    at = local_commands(monkeypatch)["web"].index("--workers")
    expected = local_commands(monkeypatch)["web"][:at] + local_commands(monkeypatch)["web"][at + 2 :]
    assert words == ["python", *expected[1:]]


def test_dockerfile_copies_existing_paths_only() -> None:
    root = DEPLOY.parent
    for line in (DEPLOY / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY") and "--from=" not in line:
            for source in shlex.split(line)[1:-1]:
                assert (root / source).exists(), line


def test_env_example_has_every_variable_that_compose_requires() -> None:
    demanded = set(re.findall(r"\$\{(\w+):\?\}", (DEPLOY / "compose.yaml").read_text()))
    given = {line.partition("=")[0] for line in (DEPLOY / "env.example").read_text().splitlines() if "=" in line}
    assert demanded
    assert demanded <= given


def test_lock_files_pin_hashes_and_name_no_host() -> None:
    for name in ("run", "docs", "local", "examples", "dev"):
        text = (DEPLOY / "requirements" / f"{name}.txt").read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
    assert os.access(DEPLOY.parent / ".ci" / "run", os.X_OK)


def test_image_sets_the_same_allocator_options_as_make_run() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    [words] = [line.split()[1:] for line in lines if line.startswith("ENV MALLOC")]
    assert dict(word.split("=") for word in words) == ALLOCATOR


def test_postgresql_of_compose_logs_no_statements(services: dict[str, Any]) -> None:
    assert {"log_min_error_statement=panic", "log_error_verbosity=terse"} <= set(services["postgres"]["command"])
