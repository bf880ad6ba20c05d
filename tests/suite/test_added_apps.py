"""The tests run with a package that is added to the repository, without being edited."""

from pathlib import Path

from tests.added_apps import added_apps, packages

ROOT = Path(__file__).resolve().parent.parent.parent


def test_apps_of_added_packages_are_found(tmp_path: Path) -> None:
    for name in ("lake", "acme", "acme/counts", "acme/more/deep", "var"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "apps.py").touch()
    for name in ("lake", "acme", "acme/counts"):
        (tmp_path / name / "__init__.py").touch()
    (tmp_path / "acme" / "apps.py").unlink()
    assert packages(tmp_path) == ["acme", "lake"]
    assert added_apps(tmp_path) == ["acme.counts", "acme.more.deep"]


def test_examples_are_the_added_apps_of_this_repository() -> None:
    assert "deploy.examples.languages" in added_apps(ROOT)
    assert not [one for one in added_apps(ROOT) if one.startswith(("lake", "ingest", "attachments", "evermuse"))]
