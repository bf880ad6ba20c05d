"""Builds images with buildah and runs them with podman, where both and the base image are there. Neither can be on every machine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
RUN = ("podman", "run", "--rm", "--runtime", "runc", "--network", "host",
       "--ulimit", "nofile=1024:2048", "--ulimit", "nproc=1000:1000")  # fmt: skip

# Directories of packages that the machine's pip reads besides its index, as options of the build: "/a /b".
PACKAGES = [word for path in os.environ.get("IMAGE_PACKAGES", "").split() for word in ("-v", f"{path}:{path}:ro")]


def needs_base(dockerfile: str) -> pytest.MarkDecorator:
    """Skips tests unless the programs and the image from which ``dockerfile`` builds are there."""
    base = (ROOT / dockerfile).read_text().partition("FROM ")[2].split()[0]
    has_programs = all(map(shutil.which, ("buildah", "podman", "runc")))
    asked = ("podman", "image", "exists", f"docker.io/library/{base}")
    has_base = has_programs and subprocess.run(asked, check=False, capture_output=True).returncode == 0
    return pytest.mark.skipif(not has_base, reason=f"buildah, podman, runc and {base} in the local storage are needed")


def build(dockerfile: str, image: str) -> None:
    built = subprocess.run(
        ["buildah", "bud", "--isolation", "chroot", "--pull=never", "--format", "docker", "-t", image,
         *PACKAGES, "-f", dockerfile, "."],
        cwd=ROOT, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr[-3000:]


def run(image: str, *words: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*RUN, *options, image, *words], check=False, capture_output=True, text=True)
