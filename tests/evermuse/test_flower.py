"""Flower has its own logins, and headers on every answer that forbid framing."""

import base64
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from deploy.local.embedded import Servers
from deploy.local.state import free_port
from evermuse import flower_login
from tests.journeys.stack import until

ROOT = Path(__file__).resolve().parent.parent.parent
OWN, ADMIN = ("watcher", "its-own-password-1"), ("admin", "the-admins-password")


def command(port: int) -> list[str]:
    conf = ROOT / "evermuse" / "flowerconfig.py"
    return [
        sys.executable,
        "-m",
        "celery",
        "-A",
        "evermuse",
        "flower",
        "--address=127.0.0.1",
        f"--port={port}",
        f"--conf={conf}",
    ]


@contextmanager
def running(directory: Path) -> Iterator[str]:
    """Flower with two logins; gives its address."""
    port = free_port()
    secret = directory / "password"
    secret.write_text(OWN[1] + "\n")
    environment = {
        **os.environ, "FLOWER_BASIC_AUTH": ":".join(ADMIN), "EVERMUSE_FLOWER_USERNAME": OWN[0],
        "EVERMUSE_FLOWER_PASSWORD_FILE": str(secret),
    }  # fmt: skip
    process = subprocess.Popen(command(port), cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return requests.get(url, timeout=30).status_code == 401
        except requests.ConnectionError:
            return False

    until(answers, "Flower answers")
    try:
        yield url
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture(scope="module")
def flower(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("flower")) as url:
        yield url


@pytest.mark.parametrize("path", ["/", "/tasks", "/metrics", "/api/workers", "/static/css/flower.css", "/nowhere"])
@pytest.mark.parametrize("auth", [None, OWN, ("admin", "wrong")])
def test_every_answer_of_flower_forbids_framing(flower: str, path: str, auth: tuple[str, str] | None) -> None:
    answer = requests.get(flower + path, auth=auth, timeout=20)
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Frame-Options"] == "DENY"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"


def test_flower_accepts_its_configured_logins_only(flower: str) -> None:
    for auth, status in ((OWN, 200), (ADMIN, 200), (("watcher", "x"), 401), (("admin", OWN[1]), 401), (None, 401)):
        assert requests.get(f"{flower}/metrics", auth=auth, timeout=20).status_code == status


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "EVERMUSE_FLOWER_PASSWORD is not set"),
        ({"EVERMUSE_FLOWER_PASSWORD": "short"}, "EVERMUSE_FLOWER_PASSWORD (5 characters) must have at least 12"),
        (
            {"EVERMUSE_FLOWER_PASSWORD": OWN[1], "EVERMUSE_FLOWER_USERNAME": "a:b"},
            "EVERMUSE_FLOWER_USERNAME (3 characters: letters and others) must be",
        ),
    ],
)
def test_flower_does_not_start_without_a_login(servers: Servers, environment: dict[str, str], message: str) -> None:
    done = subprocess.run(
        command(free_port()), cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert message in done.stderr


def test_flower_whose_port_is_taken_says_so_in_one_line(servers: Servers) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            command(port), cwd=ROOT, env={**os.environ, "EVERMUSE_FLOWER_PASSWORD": OWN[1]},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert f"evermuse: Flower cannot listen on 127.0.0.1:{port}: Address already in use" in done.stderr


def test_login_that_is_not_ascii_is_refused_like_any_wrong_one(flower: str) -> None:
    for login in ("é:x", "admin:é"):
        header = base64.b64encode(login.encode()).decode()
        answer = requests.get(flower, headers={"Authorization": f"Basic {header}"}, timeout=30)
        assert answer.status_code == 401, login


def test_address_is_refused_after_too_many_wrong_passwords_until_the_oldest_is_long_ago() -> None:
    now = 1000.0
    failures = flower_login.Failures(clock=lambda: now)
    for _ in range(flower_login.MOST_FAILURES):
        assert not failures.are_too_many("10.0.0.1")
        failures.add("10.0.0.1")
        now += 1
    assert failures.are_too_many("10.0.0.1")
    assert not failures.are_too_many("10.0.0.2")
    now = 1000.0 + flower_login.WITHIN_SECONDS
    assert not failures.are_too_many("10.0.0.1")


def test_many_addresses_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower_login, "MOST_ADDRESSES", 3)
    failures = flower_login.Failures()
    for number in range(10):
        failures.add(f"10.0.0.{number}")
    assert list(failures._at) == ["10.0.0.7", "10.0.0.8", "10.0.0.9"]


def test_flower_refuses_even_the_right_password_after_too_many_wrong_ones(servers: Servers, tmp_path: Path) -> None:
    with running(tmp_path) as url:
        statuses = [requests.get(url, auth=("admin", f"wrong-{n}"), timeout=30).status_code for n in range(25)]
        assert statuses == [401] * flower_login.MOST_FAILURES + [429] * (25 - flower_login.MOST_FAILURES)
        refused = requests.get(url, auth=OWN, timeout=30)
        assert (refused.status_code, refused.text) == (429, "Too many wrong passwords. Try again later.")
        assert requests.get(f"{url}/healthcheck", timeout=30).status_code == 200
