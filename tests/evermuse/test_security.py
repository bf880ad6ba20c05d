"""Security headers, Django's deploy checks, and secrets that must never be logged."""

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from tests.http_client import INGEST, ApiClient
from tests.records import record

ROOT = Path(__file__).resolve().parent.parent.parent


def policy(client: Client, path: str) -> dict[str, str]:
    header = client.get(path)["Content-Security-Policy"]
    return dict(part.strip().partition(" ")[::2] for part in header.split(";"))


def test_api_answers_have_a_policy_that_lets_a_browser_load_nothing(api: ApiClient) -> None:
    assert policy(api.client, f"{INGEST}/batches")["default-src"] == "'none'"
    assert policy(api.client, "/nowhere")["default-src"] == "'none'"


def test_page_of_the_openapi_description_runs_only_our_own_scripts(db: None, client: Client) -> None:
    found = policy(client, "/api/v1/docs")
    assert (found["default-src"], found["script-src"], found["connect-src"]) == ("'none'", "'self'", "'self'")
    page = client.get("/api/v1/docs").content.decode()
    assert "<script>" not in page
    assert 'src="http' not in page


def test_admin_pages_have_no_inline_script(db: None, client: Client) -> None:
    get_user_model().objects.create_superuser("boss", "", "secret")
    client.login(username="boss", password="secret")
    found = policy(client, "/admin/")
    assert found["script-src"] == "'self' 'unsafe-eval'"
    assert (found["default-src"], found["frame-ancestors"], found["form-action"]) == ("'none'", "'none'", "'self'")


def test_every_answer_has_the_security_headers(db: None, client: Client) -> None:
    for path in ("/healthz", "/admin/login/", f"{INGEST}/batches", "/nowhere"):
        answer = client.get(path)
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert answer["X-Frame-Options"] == "DENY"
        assert answer["Referrer-Policy"] == "same-origin"


def check(**environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "WARNING"],
        cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_check_deploy_finds_nothing_behind_https() -> None:
    done = check(EVERMUSE_HTTPS="true", EVERMUSE_SECRET_KEY="a-real-secret-with-many-different-letters-0123456789!")
    assert done.returncode == 0, done.stderr


def test_check_deploy_reports_a_missing_secret_key() -> None:
    done = check(EVERMUSE_HTTPS="true", EVERMUSE_SECRET_KEY="")
    assert (done.returncode, "security.W009" in done.stderr) == (1, True)


def test_api_key_appears_in_no_log_line_and_no_answer(api: ApiClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [
        api.post(record()),
        api.post(b"{"),
        api.post(record(), path="/api/v1/uploads"),
        api.get(f"{INGEST}/batches", "limit=x"),
        api.client.get(f"{INGEST}/batches", headers={"x-api-key": api.key + "x"}),
    ]
    logged = "\n".join(f"{entry.name} {entry.msg} {entry.args}" for entry in caplog.records)
    assert "batch.accepted" in logged
    secret = api.key.removeprefix("em_sk_")
    assert secret not in logged
    assert all(secret not in answer.content.decode() for answer in answers)
