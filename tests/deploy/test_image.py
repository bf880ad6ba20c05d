"""The image of the product, built and run."""

import json
import subprocess

import pytest

from tests.deploy import images

DOCKERFILE, IMAGE = "deploy/Dockerfile", "localhost/evermuse-image-test"
MAX_BYTES_OF_OURS = 190 * 1000 * 1000

pytestmark = images.needs_base(DOCKERFILE)


def run(*words: str, options: tuple[str, ...] = ()) -> str:
    done = images.run(IMAGE, *words, options=options)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def image() -> None:
    images.build(DOCKERFILE, IMAGE)


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


def test_state_directory_can_be_written_under_a_tmpfs_of_any_owner() -> None:
    """The mount belongs to root. Beat's schedule is in it."""
    for options in ("", ":mode=1777"):
        run("touch", "/var/lib/evermuse/x", options=("--read-only", "--tmpfs", f"/var/lib/evermuse{options}"))
