"""The image that backs PostgreSQL up, built and run."""

import pytest

from tests.deploy import images

DOCKERFILE, IMAGE = "deploy/backup/Dockerfile", "localhost/evermuse-backup-test"

pytestmark = images.needs_base(DOCKERFILE)


@pytest.fixture(scope="module", autouse=True)
def image() -> None:
    images.build(DOCKERFILE, IMAGE)


def test_backup_image_has_barman_and_runs_as_the_user_of_postgresql() -> None:
    shown = images.run(IMAGE, "-c", "id -u; barman-cloud-backup --version; touch /usr/local/bin/x || echo refused",
                       options=("--entrypoint", "sh"))  # fmt: skip
    user, version, refused = shown.stdout.splitlines()
    assert (user, version.split()[0], refused) == ("999", "barman-cloud-backup", "refused")


def test_backup_image_without_settings_names_what_is_missing() -> None:
    done = images.run(IMAGE)
    assert done.returncode != 0
    assert "BACKUP_URL is not set" in done.stderr
