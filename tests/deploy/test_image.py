"""The image, built with buildah and run with podman, where both and the base image are there. Neither can be on every machine."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
IMAGE = "localhost/evermuse-image-test"
MAX_BYTES_OF_OURS = 190 * 1000 * 1000
RUN = ("podman", "run", "--rm", "--runtime", "runc", "--network", "host",
       "--ulimit", "nofile=1024:2048", "--ulimit", "nproc=1000:1000")  # fmt: skip

# Directories of packages that the machine's pip reads besides its index, as options of the build: "/a /b".
PACKAGES = [word for path in os.environ.get("IMAGE_PACKAGES", "").split() for word in ("-v", f"{path}:{path}:ro")]


def base_image() -> str:
    return (ROOT / "deploy" / "Dockerfile").read_text().partition("FROM ")[2].split()[0]


def has_base() -> bool:
    if not (shutil.which("buildah") and shutil.which("podman") and shutil.which("runc")):
        return False
    asked = ("podman", "image", "exists", f"docker.io/library/{base_image()}")
    return subprocess.run(asked, check=False, capture_output=True).returncode == 0


pytestmark = pytest.mark.skipif(
    not has_base(), reason=f"buildah, podman, runc and {base_image()} in the local storage are needed"
)


def run(*words: str, options: tuple[str, ...] = ()) -> str:
    done = subprocess.run([*RUN, *options, IMAGE, *words], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def image() -> None:
    built = subprocess.run(
        ["buildah", "bud", "--isolation", "chroot", "--pull=never", "--format", "docker", "-t", IMAGE,
         *PACKAGES, "-f", "deploy/Dockerfile", "."],
        cwd=ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr[-3000:]


def test_image_has_a_numeric_user_labels_and_a_health_check() -> None:
    printed = subprocess.run(["podman", "image", "inspect", IMAGE], check=True, capture_output=True, text=True).stdout
    [found] = json.loads(printed)
    assert found["User"] == "10001:10001"
    assert found["Labels"]["org.opencontainers.image.title"] == "Evermuse Ingest"
    assert found["Healthcheck"]["Test"][0] == "CMD"


def test_image_holds_no_pip_and_no_file_that_its_user_could_change() -> None:
    assert run("sh", "-c", "python -m pip --version 2>/dev/null || echo none").strip() == "none"
    assert run("find", "/app", "/opt/evermuse", "-writable", "-not", "-type", "l").strip() == ""


def test_layers_added_to_the_base_image_are_small() -> None:
    sizes = run("du", "-sbc", "/app", "/opt/evermuse").splitlines()
    assert int(sizes[-1].split()[0]) < MAX_BYTES_OF_OURS


def test_commands_run_with_a_read_only_root() -> None:
    options = ("--read-only", "--tmpfs", "/tmp", "--env", "EVERMUSE_SECRET_KEY=" + "0123456789abcdef" * 4)
    assert "no issues" in run("python", "manage.py", "check", options=options)
