"""Flower has its own logins, and headers on every answer that forbid framing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from deploy.local.embedded import Servers
from deploy.local.state import free_port
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


@pytest.fixture(scope="module")
def flower(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    secret = tmp_path_factory.mktemp("flower") / "password"
    secret.write_text(OWN[1] + "\n")
    environment = {
        **os.environ, "FLOWER_BASIC_AUTH": ":".join(ADMIN), "EVERMUSE_FLOWER_USERNAME": OWN[0],
        "EVERMUSE_FLOWER_PASSWORD_FILE": str(secret),
    }  # fmt: skip
    process = subprocess.Popen(command(port), cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return requests.get(url, timeout=5).status_code == 401
        except requests.ConnectionError:
            return False

    until(answers, "Flower answers")
    yield url
    process.terminate()
    process.wait(20)


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
