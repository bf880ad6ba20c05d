"""Every process checks its settings when it starts, and reports all faults at once: one line each, without values."""

import os
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from deploy.local.embedded import Servers
from deploy.local.state import free_port
from evermuse import celery, checks, contradictions, serving, setting_table

ROOT = Path(__file__).resolve().parent.parent.parent
CELERY = ("-m", "celery", "-A", "evermuse")
FLOWER_CONFIGURATION = ROOT / "evermuse" / "flowerconfig.py"
PROCESSES = {
    "web": ("-m", "evermuse.web", "--port", str(free_port()), "--workers", "2"),
    "asgi": ("-c", "import evermuse.asgi"),
    "wsgi": ("-c", "import evermuse.wsgi"),
    "landing": (*CELERY, "worker", "-P", "prefork", "-c", "1", "-Q", "landing"),
    "attachments": (*CELERY, "worker", "-P", "threads", "-c", "1", "-Q", "attachments"),
    "beat": (*CELERY, "beat", "--schedule", f"{tempfile.gettempdir()}/evermuse-beat-{os.getpid()}", "--pidfile="),
    "flower": (*CELERY, "flower", "--address=127.0.0.1", "--port=1", f"--conf={FLOWER_CONFIGURATION}"),
    "migrate": ("manage.py", "migrate"),
    "bootstrap": ("manage.py", "bootstrap"),
    "check": ("manage.py", "check"),
}
SERVING = ("web", "asgi", "wsgi", "landing", "attachments", "beat")
MARK = "swordfish"
# Each has a value of another kind, and a mark that may not be printed.
WRONG = {
    "DATABASE_URL": f"postgresql://u:{MARK}@h/n?sslmode={MARK}x",
    "REDIS_URL": f"http://{MARK}",
    "CELERY_BROKER_URL": f"sqs://{MARK}",
    "MINIO_ENDPOINT": f"https://{MARK}",
    "MINIO_SECURE": MARK,
    "MINIO_ADDRESSING": MARK,
    "EVERMUSE_RATE_LIMIT": f"10{MARK}",
    "EVERMUSE_PORT": "70000",
    "EVERMUSE_TRUSTED_PROXIES": f"10.0.0.0/8,{MARK}",
    "EVERMUSE_ALLOWED_HOSTS": f"https://{MARK}",
    "EVERMUSE_ALERT_EMAILS": MARK,
    "EVERMUSE_PUBLIC_URL": MARK,
    "EVERMUSE_EMAIL_URL": f"imap://{MARK}",
    "EVERMUSE_WEB_WORKERS": "0",
}


def start(process: str, environment: dict[str, str], *, home: Path) -> tuple[int, list[str]]:
    """Starts a process that must end by itself. Returns its exit code and the lines of its standard error."""
    ours = ("EVERMUSE_", "MINIO_", "DATABASE_", "REDIS_", "CELERY_", "FLOWER_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, *PROCESSES[process]],
        cwd=ROOT, env=kept | {"EVERMUSE_HOME": str(home)} | environment, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    return done.returncode, done.stderr.splitlines()


@pytest.mark.parametrize("process", PROCESSES)
def test_every_process_reports_all_wrong_values_together_and_exits(process: str, tmp_path: Path) -> None:
    code, lines = start(process, WRONG, home=tmp_path)
    assert code == 1
    assert all(line.startswith("evermuse: ") for line in lines), lines
    named = [line.split()[1] for line in lines]
    assert len(set(named)) == len(named)
    assert set(WRONG) <= set(named)
    for line in lines:
        name = line.split()[1]
        if name in WRONG:
            assert f"{name} ({len(WRONG[name])} character" in line
            assert " must " in line
    assert MARK not in "\n".join(lines)


@pytest.mark.parametrize("process", SERVING)
def test_serving_process_without_any_setting_lists_everything_that_it_needs(process: str, tmp_path: Path) -> None:
    code, lines = start(process, {}, home=tmp_path)
    assert code == 1
    assert [line.split()[1] for line in lines] == [
        "EVERMUSE_SECRET_KEY", "DATABASE_URL", "CELERY_BROKER_URL", "REDIS_URL", "MINIO_ENDPOINT", "MINIO_ACCESS_KEY",
        "MINIO_SECRET_KEY",
    ]  # fmt: skip
    assert all(" is not set" in line for line in lines)


@pytest.mark.parametrize(
    ("process", "needed"),
    [
        ("flower", ["CELERY_BROKER_URL", "EVERMUSE_FLOWER_PASSWORD"]),
        ("migrate", ["DATABASE_URL"]),
        ("bootstrap", ["DATABASE_URL", "MINIO_ENDPOINT", "MINIO_ACCESS_KEY", "MINIO_SECRET_KEY"]),
    ],
)
def test_other_process_without_any_setting_lists_what_it_uses(process: str, needed: list[str], tmp_path: Path) -> None:
    code, lines = start(process, {}, home=tmp_path)
    assert (code, [line.split()[1] for line in lines]) == (1, needed)


def test_commands_are_known_by_the_servers_that_they_need() -> None:
    """Those of our own that are in no list say themselves what they miss, or miss nothing."""
    names = {path.stem for path in ROOT.glob("*/management/commands/[a-z]*.py")}
    listed = serving.ON_THE_DATABASE | serving.ON_DATABASE_AND_STORE | serving.ON_THE_STORE
    assert names - listed == {"services"}


@pytest.mark.parametrize(
    ("environment", "lines"),
    [
        ({"EVERMUSE_QUORUM_QUEUES": "true", "CELERY_BROKER_URL": "redis://h/0"}, ["EVERMUSE_QUORUM_QUEUES (true) has no effect"]),
        ({"EVERMUSE_PUBLISHER_CONFIRMS": "1", "CELERY_BROKER_URL": "redis://h/0"}, ["EVERMUSE_PUBLISHER_CONFIRMS (true) has"]),
        ({"EVERMUSE_QUORUM_QUEUES": "true", "CELERY_BROKER_URL": "amqp://h//"}, []),
        ({"DATABASE_REPLICA_URL": "postgresql://h/n"}, ["DATABASE_REPLICA_URL is set, but DATABASE_URL is not"]),
        ({"DATABASE_DIRECT_URL": "postgresql://h/n"}, ["DATABASE_DIRECT_URL is set, but DATABASE_URL is not"]),
        ({"DATABASE_REPLICA_URL": "postgresql://h/n", "DATABASE_URL": "postgresql://p/n"}, []),
        ({"MINIO_UPLOAD_ACCESS_KEY": "a"}, ["MINIO_UPLOAD_SECRET_KEY is not set"]),
        ({"MINIO_UPLOAD_SECRET_KEY": "a", "MINIO_ROOT_USER": "b"}, ["MINIO_UPLOAD_ACCESS_KEY is", "MINIO_ROOT_PASSWORD is"]),
    ],
)  # fmt: skip
def test_contradictory_settings_are_refused(
    environment: dict[str, str], lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setting_table, "_faults", {})
    monkeypatch.setattr(celery, "BROKER_URL", environment.get("CELERY_BROKER_URL", ""))
    rabbitmq = tuple((name, name in environment) for name, _ in contradictions.FOR_RABBITMQ)
    monkeypatch.setattr(contradictions, "FOR_RABBITMQ", rabbitmq)
    for name in ("DATABASE_URL", "MINIO_UPLOAD_ACCESS_KEY", "MINIO_UPLOAD_SECRET_KEY"):
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    contradictions.look()
    found = list(setting_table.faults().values())
    assert len(found) == len(lines), found
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True)), found


def test_contradiction_ends_a_process(tmp_path: Path) -> None:
    code, lines = start("check", {"EVERMUSE_QUORUM_QUEUES": "true", "EVERMUSE_RATE_LIMIT": "x"}, home=tmp_path)
    assert (code, [line.split()[1] for line in lines]) == (1, ["EVERMUSE_RATE_LIMIT", "EVERMUSE_QUORUM_QUEUES"])


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("EVERMUSE_RATE_LIMTI", "EVERMUSE_RATE_LIMIT?"),
        ("EVERMUSE_SECRET_KEYS_FILE", "EVERMUSE_SECRET_KEY?"),
        ("MINIO_BUKET", "MINIO_BUCKET?"),
        ("DATABASE_REPLICA_URI", "DATABASE_REPLICA_URL?"),
        ("EVERMUSE_QQQQQQQQQQQQQQQQQQQQ", "Remove it"),
        ("MINIO_API_CORS_ALLOW_ORIGIN", None),
        ("REDIS_PORT", None),
        ("EVERMUSE_WEB_SERVICE_HOST", None),
        ("EVERMUSE_WEB_PORT_80_TCP_ADDR", None),
        ("EVERMUSE_API_KEY", None),
    ],
)
def test_unknown_name_is_reported_with_the_nearest_one_unless_another_program_has_it(
    name: str, hint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "1")
    told = [one.hint for one in checks.check_settings() if one.id == "evermuse.W002"]
    assert len(told) == (hint is not None)
    assert hint is None or hint in str(told[0])


def test_settings_that_have_no_effect_are_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVERMUSE_ALERT_WEBHOOK_SECRET", "s")
    monkeypatch.setenv("DATABASE_REPLICA_URL", os.environ["DATABASE_URL"])
    monkeypatch.setenv("EVERMUSE_RATE_LIMIT", "5")
    monkeypatch.setenv("EVERMUSE_RATE_LIMIT_FILE", str(tmp_path / "missing"))
    found = {one.id: f"{one.msg} {one.hint}" for one in checks.check_settings()}
    assert set(found) == {"evermuse.W008", "evermuse.W009", "evermuse.W010"}
    assert "EVERMUSE_ALERT_WEBHOOK_URL" in found["evermuse.W008"]
    assert "Remove EVERMUSE_RATE_LIMIT or EVERMUSE_RATE_LIMIT_FILE" in found["evermuse.W010"]


@pytest.mark.parametrize("process", ["web", "landing", "beat"])
def test_serving_process_logs_what_is_doubtful_once(process: str, servers: Servers, tmp_path: Path) -> None:
    environment = dict(os.environ) | {"EVERMUSE_RATE_LIMTI": "5", "MINIO_BUCKET": "Bad_Bucket", "TMPDIR": str(tmp_path)}
    started = subprocess.Popen(
        [sys.executable, *PROCESSES[process]], cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    too_late = threading.Timer(180, started.kill)
    too_late.start()
    lines: list[str] = []
    assert started.stderr is not None
    for line in started.stderr:
        lines.append(line)
        if sum("settings.doubtful" in one for one in lines) == 2:
            started.terminate()
    too_late.cancel()
    started.wait(60)
    told = [line for line in lines if "settings.doubtful" in line]
    assert len(told) == 2, lines
    assert any("EVERMUSE_RATE_LIMTI" in line and "EVERMUSE_RATE_LIMIT?" in line for line in told), lines
    assert any("MINIO_BUCKET (10 characters: letters and others)" in line for line in told), lines


@pytest.mark.parametrize("port", ["80000", "-1", "x", "５"])
def test_port_that_does_not_exist_is_refused_by_web(port: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "evermuse.web", f"--port={port}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("argument --port: must be a whole number from 0 to 65535")


@pytest.mark.parametrize("process", ["web", "asgi", "landing", "flower", "check"])
def test_apps_that_cannot_be_loaded_are_one_line(process: str, tmp_path: Path) -> None:
    environment = {name: os.environ[name] for name in (*serving.NEEDED, *serving.STORE_KEYS, "EVERMUSE_SECRET_KEY")}
    environment |= {"EVERMUSE_APPS": "lake", "EVERMUSE_FLOWER_PASSWORD": "correct-horse-battery"}
    code, lines = start(process, environment, home=tmp_path)
    assert code == 1
    assert lines[-1].startswith("evermuse: EVERMUSE_APPS: the apps cannot be loaded: ImproperlyConfigured: "), lines
    assert "Traceback" not in "\n".join(lines)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql://u:swordfish@127.0.0.1:1/n", "connection failed"),
        ("postgresql://u:swordfish@nowhere.invalid/n", "failed to resolve host"),
        ("postgresql://u:swordfish@/n?host=/nowhere", "connection is bad"),
    ],
)
def test_database_that_cannot_be_reached_is_one_line_of_a_command(url: str, reason: str, tmp_path: Path) -> None:
    code, lines = start("migrate", {"DATABASE_URL": url}, home=tmp_path)
    assert code == 1
    assert lines[-1].startswith(f"evermuse: DATABASE_URL: {reason}")
    assert "Traceback" not in "\n".join(lines)
    assert MARK not in "\n".join(lines)


def test_wrong_password_of_postgresql_is_logged_at_the_start(servers: Servers, tmp_path: Path) -> None:
    scheme, _, rest = os.environ["DATABASE_URL"].partition("://")
    user = rest.partition(":")[0]
    wrong = f"{scheme}://{user}:{MARK}@{rest.rpartition('@')[2]}"
    done = subprocess.run(
        [sys.executable, "-c", "import evermuse.asgi"],
        cwd=ROOT, env=dict(os.environ) | {"DATABASE_URL": wrong}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "database.away" in done.stderr and "password authentication failed" in done.stderr
    assert MARK not in done.stderr
