"""Which settings a serving process requires, and what commands do without them."""

import json
import os
import subprocess
import sys
import tempfile
from ipaddress import ip_network
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.test import Client, override_settings

from deploy.local.embedded import Servers
from evermuse import checks, env, serving, setting_table

ROOT = Path(__file__).resolve().parent.parent.parent
STRONG = "a-real-secret-with-many-different-letters-0123456789!"


def run(*words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Runs a process with the environment of the tests and these changes."""
    whole = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=whole, capture_output=True, text=True, check=False, timeout=180
    )


ENTRIES = {
    "web": ("-c", "import evermuse.asgi"),
    "wsgi": ("-c", "import evermuse.wsgi"),
    "worker": ("-m", "celery", "-A", "evermuse", "worker", "-P", "threads", "-c", "1", "-Q", "landing"),
    "beat": (
        "-m",
        "celery",
        "-A",
        "evermuse",
        "beat",
        "--schedule",
        f"{tempfile.gettempdir()}/evermuse-beat-{os.getpid()}",
        "--pidfile=",
    ),
}


@pytest.mark.parametrize(
    ("entry", "key"),
    [("web", ""), ("wsgi", ""), ("worker", "changeme"), ("beat", "a" * 60), ("web", "django-insecure-" + STRONG)],
)
def test_no_serving_process_starts_without_a_strong_secret_key(entry: str, key: str) -> None:
    done = run(*ENTRIES[entry], EVERMUSE_SECRET_KEY=key)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert "EVERMUSE_SECRET_KEY is " in last and "secrets.token_urlsafe" in last
    assert not key or key not in done.stderr


def test_web_process_starts_in_an_event_loop(servers: Servers) -> None:
    """uvicorn imports the application while its event loop runs."""
    done = run("-c", "import asyncio\nasync def start(): import evermuse.asgi\nasyncio.run(start())")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", serving.NEEDED + serving.STORE_KEYS)
def test_serving_process_requires_settings_that_have_placeholders(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(env.ConfigurationError, match=rf"{name} is not set \(nor {name}_FILE\)"):
        serving.require_settings()


def test_commands_that_sign_nothing_run_without_a_secret_key() -> None:
    for words in (["check"], ["makemigrations", "--check", "--dry-run"]):
        done = run("manage.py", *words, EVERMUSE_SECRET_KEY="")
        assert done.returncode == 0, done.stderr
    keys = {
        run("-c", "from django.conf import settings; print(settings.SECRET_KEY)", EVERMUSE_SECRET_KEY="").stdout
        for _ in range(2)
    }
    assert len(keys) == 2


def test_command_reports_a_bad_setting_in_one_line() -> None:
    done = run("manage.py", "check", DATABASE_URL="postgresql://u:secret@h/n?sslmod=require")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith(
        "evermuse: DATABASE_URL (40 characters: letters and others) has the parameter 'sslmod'"
    )


def test_options_of_a_database_url_keep_our_timeouts() -> None:
    url = f"{os.environ['DATABASE_URL']}?options=-c%20work_mem%3D8MB&connect_timeout=9&sslmode=disable"
    code = "from django.conf import settings; import json; print(json.dumps(settings.DATABASES['default']['OPTIONS']))"
    options = json.loads(run("-c", code, DATABASE_URL=url).stdout)
    assert options["options"].startswith("-c statement_timeout=30000") and options["options"].endswith("work_mem=8MB")
    assert (options["connect_timeout"], options["sslmode"], options["tcp_user_timeout"]) == ("9", "disable", 10_000)
    # Otherwise a process that waits for an answer of a server that has disappeared would wait for two hours.
    assert options["keepalives_idle"] + options["keepalives_interval"] < 10


def test_database_url_with_sslmode_require_does_not_connect_without_tls(servers: Servers) -> None:
    words = ("manage.py", "createworkspace", "tls")
    done = run(*words, DATABASE_URL=f"{os.environ['DATABASE_URL']}?sslmode=require")
    assert done.returncode != 0
    assert "SSL" in done.stderr


def test_check_reports_unknown_settings_and_wildcard_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERMUSE_RATE_LIMTI", "5")
    with override_settings(ALLOWED_HOSTS=["*"]):
        found = {one.id: f"{one.msg} {one.hint}" for one in checks.check_settings()}
    assert set(found) == {"evermuse.W001", "evermuse.W002"}
    assert "EVERMUSE_RATE_LIMTI is set, but nothing reads it" in found["evermuse.W002"]
    assert "EVERMUSE_RATE_LIMIT?" in found["evermuse.W002"]
    monkeypatch.setenv("EVERMUSE_SECRET_KEY", "short")
    assert "evermuse.E001" in {one.id for one in checks.check_settings()}


@pytest.mark.parametrize(
    ("hosts", "public_url", "found"),
    [
        (["ingest.example"], "", {"evermuse.W004"}),
        (["ingest.example"], "https://ingest.example", set()),
        (["127.0.0.1", "localhost"], "", set()),
    ],
)
def test_check_asks_for_the_public_address_when_web_serves_downloads(
    hosts: list[str], public_url: str, found: set[str]
) -> None:
    with override_settings(EVERMUSE_DOWNLOAD_URLS="WEB", ALLOWED_HOSTS=hosts, EVERMUSE_PUBLIC_URL=public_url):
        assert {one.id for one in checks.check_settings()} == found


def test_no_setting_turns_on_debug_pages() -> None:
    done = run("-c", "from django.conf import settings; print(settings.DEBUG)", EVERMUSE_DEBUG="true")
    assert done.stdout.strip() == "False"
    assert "EVERMUSE_DEBUG" not in setting_table.names()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost", 200),
        ("[::1]:8000", 200),
        ("ingest.example.com", 404),
        ("127.0.0.1.example.com", 404),
        ("10.0.0.1:8000", 404),
    ],
)
def test_metrics_are_for_this_host_under_its_own_name_only(client: Client, host: str, status: int) -> None:
    assert client.get("/metrics", headers={"Host": host}).status_code == status


class TestBootstrap:
    """The admin's login is made once and never reset unasked."""

    @pytest.fixture(autouse=True)
    def _password(self, monkeypatch: pytest.MonkeyPatch, servers: Servers) -> None:
        monkeypatch.setenv("EVERMUSE_ADMIN_PASSWORD", "first-made-password-1")

    @pytest.mark.parametrize("username", ["", "two words", "x" * 151])
    def test_bootstrap_refuses_a_name_that_no_login_can_have(
        self, db: None, monkeypatch: pytest.MonkeyPatch, username: str
    ) -> None:
        monkeypatch.setenv("EVERMUSE_ADMIN_USERNAME", username)
        with pytest.raises(CommandError, match=r"^EVERMUSE_ADMIN_USERNAME \(.*\) is no name of a login: "):
            call_command("bootstrap")
        assert not get_user_model().objects.exists()

    def test_bootstrap_keeps_an_admin_password_that_was_changed(
        self, db: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        call_command("bootstrap")
        admin = get_user_model().objects.get(username="admin")
        assert admin.check_password("first-made-password-1")
        admin.set_password("rotated-by-its-owner-2")
        admin.save()
        call_command("bootstrap")
        admin.refresh_from_db()
        assert admin.check_password("rotated-by-its-owner-2")
        monkeypatch.delenv("EVERMUSE_ADMIN_PASSWORD")
        call_command("bootstrap")

    def test_bootstrap_resets_the_admin_password_on_request(self, db: None, monkeypatch: pytest.MonkeyPatch) -> None:
        call_command("bootstrap")
        monkeypatch.setenv("EVERMUSE_ADMIN_PASSWORD", "given-on-purpose-3")
        call_command("bootstrap", "--set-admin-password")
        assert get_user_model().objects.get(username="admin").check_password("given-on-purpose-3")

    @pytest.mark.parametrize("weak", ["short-1", "123456789012", "administrator"])
    def test_bootstrap_rejects_a_weak_admin_password(
        self, db: None, monkeypatch: pytest.MonkeyPatch, weak: str
    ) -> None:
        monkeypatch.setenv("EVERMUSE_ADMIN_PASSWORD", weak)
        with pytest.raises(CommandError, match="EVERMUSE_ADMIN_PASSWORD is too weak: "):
            call_command("bootstrap")
        assert not get_user_model().objects.exists()


PROXIED = ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP", "X-Forwarded-Proto", "X-Forwarded-Host")


class TestMetrics:
    """Behind a proxy on the same host, `/metrics` is not open to the proxy's clients."""

    @pytest.mark.parametrize("header", PROXIED)
    def test_metrics_are_refused_to_a_request_through_a_proxy(self, db: None, client: Client, header: str) -> None:
        assert client.get("/metrics", headers={header: "203.0.113.9"}).status_code == 404

    def test_metrics_are_allowed_by_the_network_of_the_client_behind_a_proxy(self, db: None, client: Client) -> None:
        with override_settings(EVERMUSE_METRICS_NETWORKS=[ip_network("10.0.0.0/8")]):
            for forwarded, status in (
                ("10.1.2.3", 200), ("203.0.113.9, 10.1.2.3", 200), ("10.1.2.3, 203.0.113.9", 404), ("unknown", 404),
                ("127.0.0.1", 404),
            ):  # fmt: skip
                answer = client.get("/metrics", headers={"X-Forwarded-For": forwarded})
                assert answer.status_code == status, forwarded
            assert client.get("/metrics", REMOTE_ADDR="10.9.9.9").status_code == 200
            stranger = client.get("/metrics", headers={"X-Forwarded-For": "10.1.2.3"}, REMOTE_ADDR="203.0.113.9")
            assert stranger.status_code == 404

    def test_metrics_token_is_needed_on_this_host_too_because_a_proxy_may_look_like_it(
        self, db: None, client: Client
    ) -> None:
        assert client.get("/metrics", headers={"Host": "127.0.0.1"}).status_code == 200
        with override_settings(EVERMUSE_METRICS_TOKEN="scrape-me"):
            assert client.get("/metrics", headers={"Host": "127.0.0.1"}).status_code == 404

    def test_metrics_token_allows_scraping_from_any_address(self, db: None, client: Client) -> None:
        with override_settings(EVERMUSE_METRICS_TOKEN="scrape-me"):
            for sent, status in (("Bearer scrape-me", 200), ("Bearer scrape-m", 404), ("Basic scrape-me", 404)):
                headers = {"Authorization": sent, "X-Forwarded-For": "203.0.113.9"}
                assert client.get("/metrics", headers=headers).status_code == status
        headers = {"Authorization": "Bearer ", "X-Forwarded-For": "203.0.113.9"}
        assert client.get("/metrics", headers=headers).status_code == 404
