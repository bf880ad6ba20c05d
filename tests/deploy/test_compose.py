"""compose.yaml and the Dockerfile run the processes of `make run`, with maintenance apart."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from deploy.local.child import ALLOCATOR
from deploy.local.processes import FLOWER_CONFIGURATION, commands_apart
from deploy.local.servers import APPLICATION, APPLICATION_SQL
from evermuse.celery import QUEUES

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
DEFAULTS = {"EVERMUSE_WEB_WORKERS": "2", "EVERMUSE_LANDING_CONCURRENCY": "2", "EVERMUSE_ATTACHMENT_CONCURRENCY": "16"}


@pytest.fixture
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


def local_commands(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    for name, value in DEFAULTS.items():
        monkeypatch.setenv(name, value)
    made = commands_apart(web_port=8000, flower_port=5555, run="/var/lib/evermuse")
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


def test_each_queue_is_read_by_one_service_of_compose(services: dict[str, Any]) -> None:
    read = {
        name: service["command"][service["command"].index("-Q") + 1]
        for name, service in services.items()
        if "-Q" in service.get("command", [])
    }
    assert read == {f"worker-{queue}": queue for queue in QUEUES}


def test_compose_has_the_servers_and_every_process(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    servers = {"postgres", "database", "redis", "seaweedfs", "migrate"}
    added = {name for name, service in services.items() if "profiles" in service}
    assert set(services) - added == servers | set(local_commands(monkeypatch))
    assert added == {"proxy", "prometheus", "grafana", "backup"}


def test_only_bootstrap_gets_administrative_credentials_in_compose(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in local_commands(monkeypatch):
        given = services[name]["environment"]
        assert not {"MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD", "PGPASSWORD"} & set(given), name
        assert "POSTGRES_PASSWORD" not in given["DATABASE_URL"]
        assert given["DATABASE_URL"].startswith(f"${{DATABASE_URL:-postgresql://{APPLICATION}:")
        assert "ROOT" not in given["MINIO_SECRET_KEY"] + given["MINIO_UPLOAD_SECRET_KEY"]
        assert "root" not in given["MINIO_ACCESS_KEY"]
    assert services["migrate"]["environment"]["MINIO_ROOT_USER"] == "evermuse-root"
    assert services["database"]["volumes"] == [f"./postgres/{APPLICATION_SQL.name}:/application.sql:ro"]
    assert APPLICATION_SQL.parent == DEPLOY / "postgres"


def test_compose_publishes_no_port_beyond_localhost_but_those_of_the_proxy(services: dict[str, Any]) -> None:
    assert services["proxy"]["ports"] == ["0.0.0.0:80:80", "0.0.0.0:443:443"]
    ports = [port for name, service in services.items() if name != "proxy" for port in service.get("ports", [])]
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
    for name in ("run", "docs", "local", "examples", "dev", "backup"):
        text = (DEPLOY / "requirements" / f"{name}.txt").read_text()
        assert "--hash=sha256:" in text
        assert "://" not in text
    assert os.access(DEPLOY.parent / ".ci" / "run", os.X_OK)


def test_image_sets_the_same_allocator_options_as_make_run() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()
    [words] = [line.split()[1:] for line in lines if line.startswith("ENV MALLOC")]
    assert dict(word.split("=") for word in words) == ALLOCATOR


def test_postgresql_of_compose_logs_no_statements_and_follows_the_memory_of_its_container(tmp_path: Path) -> None:
    printed = subprocess.run(
        ["sh", str(DEPLOY / "postgres" / "start.sh")],
        env={**os.environ, "POSTGRES_ENTRYPOINT": "echo", "POSTGRES_OPTIONS": "-c work_mem=1MB"},
        capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    given = [word for word in printed if "=" in word]
    assert {"log_min_error_statement=panic", "log_error_verbosity=terse", "log_statement=none"} <= set(given)
    assert given[-1] == "work_mem=1MB"
    [shared] = [int(word[15:-2]) for word in given if word.startswith("shared_buffers=")]
    memory = psutil.virtual_memory().total // 2**20
    assert 0 < shared <= memory // 4


def test_every_setting_can_be_given_to_compose(services: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """In deploy/.env under its own name if compose.yaml gives it a value, which would win over settings.env; else there."""
    # The names of the services of the file itself.
    fixed = {"EVERMUSE_OWN_SERVERS"}
    for name in local_commands(monkeypatch):
        assert services[name]["env_file"] == [{"path": "settings.env", "required": False}], name
        for variable, value in services[name]["environment"].items():
            assert variable in fixed or value.startswith(f"${{{variable}:"), variable


def test_every_process_has_limits_a_health_check_and_rotated_logs(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert set(service["logging"]["options"]) == {"max-size", "max-file"}, name
        if service.get("restart") == "always":
            assert set(service["deploy"]["resources"]) == {"limits", "reservations"}, name
            assert "healthcheck" in service or name in {"prometheus", "grafana"}, name


def test_processes_of_the_product_run_without_privileges(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in local_commands(monkeypatch):
        assert services[name]["read_only"] is True
        assert services[name]["cap_drop"] == ["ALL"]
        assert services[name]["security_opt"] == ["no-new-privileges:true"]
    assert "\nUSER 10001:10001\n" in (DEPLOY / "Dockerfile").read_text()


def test_no_file_system_in_memory_names_an_owner_because_podman_refuses_it(services: dict[str, Any]) -> None:
    options = [mount.partition(":")[2] for service in services.values() for mount in service.get("tmpfs", [])]
    assert set(options) == {"mode=1777"}


def test_only_web_has_the_health_check_of_the_image(services: dict[str, Any]) -> None:
    """A migration may take hours. As an unhealthy service it would look like a fault."""
    assert services["migrate"]["healthcheck"] == {"disable": True}
    ours = [name for name, service in services.items() if service.get("image", "").startswith("evermuse-ingest:")]
    assert all("healthcheck" in services[name] for name in ours)


def test_store_gets_the_time_that_it_needs_to_stop(services: dict[str, Any]) -> None:
    assert services["seaweedfs"]["stop_grace_period"] == "30s"


def test_health_check_of_the_proxy_asks_the_proxy_itself(services: dict[str, Any]) -> None:
    address = services["proxy"]["healthcheck"]["test"][-1].rstrip("/")
    assert f"\n{address} {{\n\tbind 127.0.0.1\n" in (DEPLOY / "caddy" / "Caddyfile").read_text()
