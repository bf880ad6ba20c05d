"""The recipes of the contributing guide work in a copy of the repository, as a newcomer would apply them."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.deploy import recipes
from tests.deploy.recipes import Recipe

TITLES = ["A processor", "A field of the envelope", "A filter of the records", "A retry policy"]
ROOT = recipes.ROOT


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A copy of the repository with all recipes applied."""
    root = tmp_path_factory.mktemp("recipes")
    recipes.copy(root)
    for recipe in recipes.recipes():
        recipe.apply(root)
    yield root


def run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "EVERMUSE_"))}
    environment |= {"PYTHONPATH": str(root), "EVERMUSE_SECRET_KEY": "tests-" + "0" * 50}
    return subprocess.run(
        [sys.executable, "-W", "ignore", *words],
        cwd=root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


def test_guide_has_four_recipes_of_a_few_lines() -> None:
    assert [recipe.title for recipe in recipes.recipes()] == TITLES
    assert all(len(recipe.lines) <= 12 for recipe in recipes.recipes())


def test_recipe_whose_original_text_is_missing_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("a = 1\n")
    Recipe("x", "x.py", False, ["-a = 1", "+a = 2"]).apply(tmp_path)
    assert (tmp_path / "x.py").read_text() == "a = 2\n"
    with pytest.raises(ValueError, match=r"x\.py holds 'a = 1\\n' 0 times"):
        Recipe("x", "x.py", False, ["-a = 1", "+a = 2"]).apply(tmp_path)


def test_each_recipe_passes_its_checks(copied: Path) -> None:
    done = run(copied, "-m", "pytest", "tests/deploy/recipe_checks.py", "-q", "-p", "no:cacheprovider", "-n0")
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


def test_no_recipe_needs_a_migration(copied: Path) -> None:
    done = run(copied, "manage.py", "makemigrations", "--check", "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr


def test_code_of_the_recipes_passes_mypy(copied: Path, tmp_path: Path) -> None:
    changed = sorted({recipe.path for recipe in recipes.recipes()})
    # What mypy knows of the repository is true of the copy, but for what the recipes have changed.
    cache = tmp_path / "cache"
    if (ROOT / ".mypy_cache").exists():
        shutil.copytree(ROOT / ".mypy_cache", cache)
    done = run(copied, "-m", "mypy", "--cache-dir", str(cache), *changed)
    assert done.returncode == 0, done.stdout + done.stderr
